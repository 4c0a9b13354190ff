/** An upload by URL in a network where every address answers. */
export type Case = {
  /** Row of the threat table. */
  id: string
  url: string
  /** What the answer says: 200, or 400 with the one message, with this status in it, or that the file is too large. */
  expected: 'stored' | 'refused' | 'too-large' | { status: number }
  why?: string
}

/** The one address that is public here. */
export const PUBLIC = '93.184.216.34'
export const PUBLIC6 = '2606:2800:220:1::1'
/** Public ones that nothing can be sent to, by what the network says to that. */
export const CUT_OFF = {
  blackhole: '93.184.216.78',
  unreachable: '93.184.216.79',
  prohibit: '93.184.216.80',
}
/** A public one that nothing comes back from, as behind a firewall that swallows packets. */
export const SWALLOWED = '93.184.216.77'

const P = `http://${PUBLIC}`
const redirect = (to: string) => `${P}/redirect?to=${encodeURIComponent(to)}`
const refuse = (id: string, urls: string[], why?: string): Case[] =>
  urls.map((url) => ({ id, url, expected: 'refused', ...(why ? { why } : {}) }))

export const CASES: Case[] = [
  { id: 'S05', url: `${P}/ok`, expected: 'stored', why: 'a public address' },
  { id: 'S05', url: `http://[${PUBLIC6}]/ok`, expected: 'stored', why: 'a public IPv6 address' },
  { id: 'S05', url: 'http://public.test/ok', expected: 'stored', why: 'a public name' },
  { id: 'S03', url: `${P}:8080/ok`, expected: 'stored', why: 'a port from 1024 upwards' },
  ...refuse('S02', [
    'http://0.1.2.3/',
    'http://10.0.0.1/',
    'http://10.255.255.255/',
    'http://100.64.0.1/',
    'http://100.127.255.254/',
    'http://100.100.100.200/',
    'http://127.8.8.8/',
    'http://168.63.129.16/',
    'http://169.254.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://169.254.170.2/v2/credentials',
    'http://0xa9fea9fe/',
    'http://2852039166/',
    'http://0251.0376.0251.0376/',
    'http://172.16.0.1/',
    'http://172.31.255.255/',
    'http://192.0.0.192/',
    'http://192.0.2.1/',
    'http://192.88.99.1/',
    'http://192.168.0.1/',
    'http://198.18.0.1/',
    'http://198.19.255.255/',
    'http://198.51.100.1/',
    'http://203.0.113.1/',
    'http://224.0.0.1/',
    'http://239.255.255.250/',
    'http://240.0.0.1/',
    'http://255.255.255.255/',
    'http://[fd00:ec2::254]/',
    'http://[fd20:ce::254]/',
    'http://[fc00::1]/',
    'http://[fe80::1]/',
    'http://[fec0::1]/',
    'http://[ff02::1]/',
    'http://[100::1]/',
    'http://[2001:db8::1]/',
    'http://[2001:2::1]/',
    'http://[2001:10::1]/',
    'http://[2002:a00:1::]/',
    'http://[2001:0:a9fe:a9fe::]/',
    'http://[3fff::1]/',
    'http://[5f00::1]/',
    'http://[4000::1]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[::ffff:169.254.169.254]/',
    'http://[::ffff:93.184.216.34]/',
    'http://[::93.184.216.34]/',
  ]),
  ...refuse('S05', ['http://loopback.test/'], 'a name of the loopback'),
  ...refuse('S05', ['http://private.test/'], 'a name of a private address'),
  ...refuse('S05', ['http://metadata.test/'], 'a name of the metadata service'),
  ...refuse('S05', ['http://mixed.test/'], 'one loopback address among public ones'),
  ...refuse('S05', ['http://mixed-last.test/'], 'one private address behind public ones'),
  ...refuse('S05', ['http://loopback6.test/'], 'AAAA ::1'),
  ...refuse('S05', ['http://mixed6.test/'], 'a public A and AAAA ::1'),
  ...refuse('S05', ['http://mapped.test/'], 'AAAA of a mapped address'),
  ...refuse('S05', ['http://nat64.test/'], 'AAAA of a translated address'),
  ...refuse('S05', ['http://cname.test/'], 'a CNAME to localhost'),
  ...refuse('S05', ['http://silent.test/'], 'a name server that does not answer'),
  ...refuse('S05', ['http://nowhere.test/'], 'a name that does not exist'),
  ...refuse('S05', ['http://empty.test/'], 'a name without addresses'),
  { id: 'S05', url: 'http://rebind.test/ok', expected: 'stored', why: 'rebinding after the one look-up' },
  { id: 'S07', url: 'http://rebind-twice.test/ok', expected: 'stored', why: 'first: public' },
  ...refuse(
    'S07',
    ['http://rebind-twice.test/ok?again'],
    'then: rebound, and no connection is left to reuse',
  ),
  ...refuse(
    'S04',
    [
      'http://127.0.0.1/',
      'http://127.1:8080/',
      'http://[::1]/',
      'http://169.254.169.254/latest/meta-data/',
      'http://0x0a000001/',
      'http://loopback.test/',
      'http://mixed6.test/',
      '//10.0.0.1/',
      'file:///etc/passwd',
      'gopher://127.0.0.1:8080/_x',
      'http:\\\\127.0.0.1/',
      'http://user:pass@public.test/ok',
      `${P}:22/`,
      'http://localhost/',
    ].map(redirect),
  ),
  { id: 'S04', url: redirect('/ok'), expected: 'stored', why: 'a relative redirect' },
  { id: 'S04', url: redirect(redirect(redirect('/ok'))), expected: 'stored', why: 'three hops' },
  ...refuse('S04', [redirect(redirect(redirect(redirect('/ok'))))], 'four hops'),
  ...refuse('S04', [`${P}/loop`], 'a loop'),
  ...refuse(
    'S04',
    [`https://good-tls.test/redirect?to=${encodeURIComponent('http://public.test/ok')}`],
    'https to http',
  ),
  ...refuse('S10', [`${P}/never`], 'no headers'),
  { id: 'S10', url: `${P}/late`, expected: 'stored', why: 'headers after 7 seconds' },
  ...refuse('S11', [`${P}/drip-headers`], 'headers that drip'),
  ...refuse('S11', [`${P}/endless-103`], 'endless interim responses'),
  ...refuse('S11', [`${P}/headers-1mb`], 'a megabyte of headers'),
  ...refuse('S11', [`${P}/switch`], 'a protocol switch'),
  ...refuse('S12', [`${P}/drip-body`], 'a body that drips'),
  { id: 'S12', url: `${P}/endless`, expected: 'too-large', why: 'a body without an end' },
  ...refuse('S13', [
    `${P}/gzip`,
    `${P}/br`,
    `${P}/gzip-twice`,
    `${P}/gzip-bomb`,
    `${P}/gzip-lie`,
    `${P}/gzip-transfer`,
  ]),
  ...refuse('S14', [
    `${P}/short`,
    `${P}/negative`,
    `${P}/twice`,
    `${P}/nan`,
    `${P}/length-and-chunks`,
    `${P}/bad-chunks`,
    `${P}/cut-chunks`,
    `${P}/reset`,
    `${P}/reset-body`,
    `${P}/no-status`,
    `${P}/empty-answer`,
  ]),
  { id: 'S14', url: `${P}/long`, expected: 'stored', why: 'what follows the announced length is not read' },
  { id: 'S14', url: `${P}/huge`, expected: 'too-large', why: 'announces a terabyte' },
  ...[201, 204, 206, 304, 401, 404, 407, 500, 503].map(
    (status): Case => ({ id: 'S15', url: `${P}/status/${status}`, expected: { status } }),
  ),
  ...refuse('S15', [`${P}/nothing`], 'a 200 without a byte'),
  {
    id: 'S16',
    url: `${P}/named/..%2f..%2fevil.html`,
    expected: 'stored',
    why: 'a Content-Disposition and a path',
  },
  { id: 'S17', url: 'https://good-tls.test/ok', expected: 'stored', why: 'a good certificate' },
  ...refuse('S17', ['https://self-tls.test/ok'], 'self-signed'),
  ...refuse('S17', ['https://expired-tls.test/ok'], 'expired'),
  ...refuse('S17', ['https://wrong-tls.test/ok'], 'for another name'),
  ...refuse('S17', [`https://${PUBLIC}/ok`], 'for a name, not for the address'),
  ...refuse('S19', [`${P}:8999/`], 'a closed port'),
  ...refuse('S19', [`http://${SWALLOWED}:8999/`], 'packets are swallowed'),
  ...Object.entries(CUT_OFF).flatMap(([why, address]) => refuse('S19', [`http://${address}/`], why)),
]
