import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { expectRefusal } from '../support/refusals.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'
import { exchange, head } from '../support/wire.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  const photo = await sharp({ create: { width: 120, height: 80, channels: 3, background: '#336699' } })
    .jpeg()
    .toBuffer()
  await put(tintype, '/photo.jpg', photo)
  await put(tintype, '/other.png', png(30, 30, 5))
  await put(tintype, '/secret.png', png(30, 30, 6), { isPrivateFile: 'true' })
  await put(tintype, '/draft.png', png(30, 30, 7), { isPublished: 'false' })
})
afterAll(() => tintype.stop())

async function ask(tr: string, form: 'path' | 'query' = 'query', headers: Record<string, string> = {}) {
  const text = encodeURIComponent(tr)
  const target = form === 'path' ? `tr:${text}/photo.jpg` : `photo.jpg?tr=${text}`
  const startMs = performance.now()
  const response = await fetch(`${tintype.url}/demo/${target}`, { headers })
  const body = Buffer.from(await response.arrayBuffer())
  return {
    status: response.status,
    headers: response.headers,
    body,
    tookMs: performance.now() - startMs,
    requestId: response.headers.get('x-ik-requestid'),
  }
}
const refusalOf = (answer: Awaited<ReturnType<typeof ask>>) => ({ ...answer, body: answer.body.toString() })

/** Either is right: the manual has what is beyond bounds ignored, and what cannot be read refused. */
async function expectSettled(tr: string, form: 'path' | 'query' = 'query') {
  const answer = await ask(tr, form)
  if (answer.status === 200) {
    expect([...answer.headers.values()].join()).not.toMatch(/NaN|Infinity|undefined/)
    const { width, height } = await sharp(answer.body).metadata()
    expect(width).toBeGreaterThan(0)
    expect(width * height).toBeLessThan(100_000_000)
  } else expectRefusal(refusalOf(answer), [400, 401, 404, 501])
  expect(answer.tookMs).toBeLessThan(15_000)
}

describe('numbers', () => {
  const KEYS = ['w', 'h', 'q', 'bl', 'r', 'rt', 'x', 'dpr', 'z', 'o', 'b', 'page']
  const VALUES = [
    '100000',
    '65536',
    '-1',
    '0',
    '-0',
    '1e9',
    '1e-9',
    '0x10',
    'NaN',
    'Infinity',
    '٣',
    '１',
    '1_0',
    '1.',
    '.5',
    '0.0000001',
    '1,1',
    '+5',
    '5px',
    '9'.repeat(400),
    '',
    ' ',
    '0.5.5',
    '1/0',
    'true',
    'null',
    '[]',
  ]
  test.each(KEYS)(
    'X01 %s of every kind',
    async (key) => {
      for (const value of VALUES) await expectSettled(`${key}-${value}`)
    },
    60_000,
  )
})

describe('what no parameter is', () => {
  test.each([
    ['X01', 'an unknown key', 'foo-1'],
    ['X01', 'a key of objects', '__proto__-1'],
    ['X01', 'constructor', 'constructor-1'],
    ['X01', 'no value', 'w'],
    ['X01', 'a value only', '-100'],
    ['X01', 'a key of NUL', '\0-1'],
    ['X01', 'a key of 4,000 characters', `${'k'.repeat(4000)}-1`],
    ['X01', 'another dash', 'w–100'],
    ['X01', 'a step of commas', ',,,,'],
    ['X01', 'steps of colons', '::::'],
    ['X01', 'JSON', '{"w":100}'],
    ['X01', 'markup', '<svg onload=alert(1)>'],
    ['X01', 'a URL', 'w-http://127.0.0.1/'],
    ['X01', 'a named transformation that does not exist', 'n-nobody'],
    ['X01', 'a name of objects', 'n-__proto__'],
    ['X01', 'a name of SQL', "n-' OR 1=1--"],
    ['X02', '21 steps', Array.from({ length: 21 }, (_, at) => `w-${at + 10}`).join(':')],
    ['X02', '200 steps', Array.from({ length: 200 }, (_, at) => `w-${at + 10}`).join(':')],
    ['X02', '2,000 steps', Array.from({ length: 2000 }, () => 'w-9').join(':')],
    ['X02', '65 parameters of one step', Array.from({ length: 65 }, () => 'w-9').join(',')],
    ['X02', '2,000 parameters', Array.from({ length: 2000 }, () => 'w-9').join(',')],
    ['X02', '12 KB', `w-${'9'.repeat(12_000)}`],
    [
      'X03',
      'layers 4 deep',
      'l-image,i-other.png,l-image,i-other.png,l-image,i-other.png,l-image,i-other.png,l-end,l-end,l-end,l-end',
    ],
    ['X03', '50 layers', Array.from({ length: 50 }, () => 'l-text,i-a,l-end').join(',')],
    ['X03', 'a layer without end', 'l-image,i-other.png'],
    ['X03', 'an end without a layer', 'l-end'],
    ['X03', '500 ends', Array.from({ length: 500 }, () => 'l-end').join(',')],
    ['X03', 'a layer that climbs', 'l-image,i-..@@..@@etc@@passwd,l-end'],
    ['X03', 'a layer of dots', 'l-image,i-..,l-end'],
    ['X03', 'a layer that is missing', 'l-image,i-missing.png,l-end'],
    ['X03', 'a layer from the network', 'l-image,i-http:@@@@127.0.0.1@@a.png,l-end'],
    [
      'X03',
      'a layer from the network in base64',
      `l-image,ie-${Buffer.from('http://127.0.0.1:1/a.png').toString('base64url')},l-end`,
    ],
    [
      'X03',
      'a layer from a file',
      `l-image,ie-${Buffer.from('file:///etc/passwd').toString('base64url')},l-end`,
    ],
    ['X03', 'a private layer', 'l-image,i-secret.png,l-end'],
    ['X03', 'a draft as layer', 'l-image,i-draft.png,l-end'],
    ['X03', 'a private layer inside a layer', 'l-image,i-other.png,l-image,i-secret.png,l-end,l-end'],
    ['X03', 'a font that is a path', 'l-text,i-a,ff-..@@..@@font.ttf,l-end'],
    ['X03', 'a font that is missing', 'l-text,i-a,ff-@@missing.ttf,l-end'],
    ['X03', 'a layer of a kind that does not exist', 'l-script,i-a,l-end'],
    ['X04', 'division by nothing', 'w-iw_div_0'],
    ['X04', 'a rest by nothing', 'w-iw_mod_0'],
    ['X04', 'a tower of powers', 'w-iw_pow_9_pow_9_pow_9'],
    ['X04', 'roots of negatives', 'w-0_sub_9_pow_0.5'],
    ['X04', 'an operator without a number', 'w-iw_mul'],
    ['X04', 'operators only', 'w-_mul_div_'],
    ['X04', '1,500 operators', `w-iw${'_add_1'.repeat(600)}`],
    ['X04', '33 operators', `w-iw${'_add_1'.repeat(33)}`],
    ['X04', 'a variable that does not exist', 'w-process_mul_2'],
    ['X04', 'numbers beyond bounds', `w-iw_mul_${'9'.repeat(300)}`],
    ['X04', 'a condition without end', 'if-w_gt_5,w-9'],
    ['X04', 'conditions in conditions', `${'if-w_gt_5,'.repeat(60)}w-9${',if-end'.repeat(60)}`],
    ['X04', 'a condition of nothing', 'if-,w-9,if-end'],
    ['X06', 'what a regular expression would trip over', `w-${'1_'.repeat(1900)}`],
    ['X06', 'spaces', `w-${' '.repeat(3900)}1`],
    ['X06', 'dashes', '-'.repeat(3900)],
    ['X06', 'commas and colons', ',:'.repeat(1900)],
    ['X06', 'underscores', `e-${'_'.repeat(3900)}`],
  ])('%s %s', async (_id, _name, tr) => {
    await expectSettled(tr)
    await expectSettled(tr, 'path')
  })

  test.each([
    ['X02', Array.from({ length: 200 }, () => 'w-9').join(':')],
    ['X02', Array.from({ length: 2000 }, () => 'w-9').join(',')],
    ['X02', `w-${'9'.repeat(12_000)}`],
    ['X03', Array.from({ length: 50 }, () => 'l-text,i-a,l-end').join(',')],
    ['X03', 'l-image,i-secret.png,l-end'],
    ['X03', 'l-image,i-draft.png,l-end'],
    ['X03', 'l-image,i-..@@..@@etc@@passwd,l-end'],
    ['X04', `w-iw${'_add_1'.repeat(600)}`],
  ])('%s is refused, not rendered: %s', async (_id, tr) => {
    expectRefusal(refusalOf(await ask(tr)), [400, 401, 404])
  })

  test('X03 text is text: no markup, no entity, no file', async () => {
    const plain = await ask('l-text,i-hello,fs-20,l-end')
    expect(plain.status).toBe(200)
    for (const text of [
      '<b>x</b>',
      '<span font="9999">x',
      '&amp;&lt;',
      '<!ENTITY x SYSTEM "file:///etc/passwd">',
      '</text><image href="file:///etc/passwd"/>',
      '%s%n',
      '\u202e\u0000x',
      '<span size="999999">x</span>',
    ]) {
      const answer = await ask(`l-text,ie-${Buffer.from(text).toString('base64url')},fs-20,l-end`)
      expect([200, 400]).toContain(answer.status)
    }
  })
})

describe('X05 what makes an answer', () => {
  const etagOf = async (target: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${tintype.url}/demo/${target}`, { headers })
    await response.arrayBuffer()
    return { status: response.status, etag: response.headers.get('etag'), headers: response.headers }
  }
  const SAME: [string, string, string][] = [
    ['order', 'photo.jpg?tr=w-40,h-30', 'photo.jpg?tr=h-30,w-40'],
    ['path and query', 'tr:w-41/photo.jpg', 'photo.jpg?tr=w-41'],
    ['percent', 'photo.jpg?tr=w-42,h-30', 'photo.jpg?tr=%77%2D42%2Ch-30'],
    ['an unknown query', 'photo.jpg?tr=w-43', 'photo.jpg?utm=x&tr=w-43&fbclid=y'],
    ['a cache buster', 'photo.jpg?tr=w-44', 'photo.jpg?tr=w-44&updatedAt=99'],
    ['leading zeros', 'photo.jpg?tr=w-45', 'photo.jpg?tr=w-045'],
    ['slashes', 'photo.jpg?tr=w-46', '/photo.jpg?tr=w-46'],
    ['the same key again', 'photo.jpg?tr=w-47', 'photo.jpg?tr=w-47&tr=w-99'],
  ]
  test.each(SAME)('X05 %s makes no other', async (_name, one, other) => {
    const [first, second] = [await etagOf(one), await etagOf(other)]
    expect([first.status, second.status]).toEqual([200, 200])
    expect(second.etag).toBe(first.etag)
  })

  const DIFFERENT: [string, string, string][] = [
    ['a digit', 'photo.jpg?tr=w-51', 'photo.jpg?tr=w-52'],
    ['steps', 'photo.jpg?tr=w-53,h-20', 'photo.jpg?tr=w-53:h-20'],
    ['their order', 'photo.jpg?tr=rt-90:w-54', 'photo.jpg?tr=w-54:rt-90'],
    ['the text of a layer', 'photo.jpg?tr=l-text,i-a,l-end', 'photo.jpg?tr=l-text,i-b,l-end'],
    ['the file', 'photo.jpg?tr=w-20', 'other.png?tr=w-20'],
    ['the format', 'photo.jpg?tr=w-55,f-png', 'photo.jpg?tr=w-55,f-webp'],
    ['the quality', 'photo.jpg?tr=w-56,q-10', 'photo.jpg?tr=w-56,q-90'],
    ['path and query together', 'tr:w-57/photo.jpg', 'tr:w-57/photo.jpg?tr=rt-90'],
  ]
  test.each(DIFFERENT)('X05 %s makes another', async (_name, one, other) => {
    const [first, second] = [await etagOf(one), await etagOf(other)]
    expect([first.status, second.status]).toEqual([200, 200])
    expect(second.etag).not.toBe(first.etag)
  })

  test.each<[string, Record<string, string>]>([
    ['Host', { Host: 'evil.example' }],
    ['X-Forwarded-Host', { 'X-Forwarded-Host': 'evil.example' }],
    ['X-Forwarded-Proto', { 'X-Forwarded-Proto': 'javascript' }],
    ['X-Forwarded-For', { 'X-Forwarded-For': '10.0.0.1' }],
    ['X-Original-URL', { 'X-Original-URL': '/demo/secret.png' }],
    ['Cookie', { Cookie: 'a=b' }],
    ['Authorization of nobody', { Authorization: 'Basic eDo=' }],
    ['Accept', { Accept: 'image/avif,image/webp,*/*' }],
    ['Accept-Encoding', { 'Accept-Encoding': 'gzip, br' }],
    ['Origin', { Origin: 'https://evil.example' }],
    ['Range', { Range: 'bytes=0-9' }],
    [
      'a Range of many',
      { Range: `bytes=${Array.from({ length: 500 }, (_, at) => `${at}-${at}`).join(',')}` },
    ],
    ['If-None-Match', { 'If-None-Match': '"x"' }],
    ['client hints', { 'Sec-CH-DPR': '9', Width: '5', 'Viewport-Width': '1' }],
    ['Pragma', { 'Cache-Control': 'no-cache', Pragma: 'no-cache' }],
  ])('X05 %s does not poison what the next one gets', async (name, headers) => {
    const target = `/demo/photo.jpg?tr=w-${60 + name.length},rt-90,f-jpg`
    const get = async (more: Record<string, string>) =>
      (await exchange(tintype.url, [head(`GET ${target} HTTP/1.1`, { ...more, Connection: 'close' })]))
        .answers[0]!
    const clean = await (async () => {
      const first = await get(headers)
      expect(first.status).toBeLessThan(400)
      return get({})
    })()
    expect(clean.status).toBe(200)
    expect(clean.headers.get('content-type')).toBe('image/jpeg')
    const whole = await sharp(clean.body).metadata()
    expect(whole.format).toBe('jpeg')
    expect([...clean.headers.values()].join()).not.toContain('evil.example')
    const again = await get(headers)
    if (again.status === 200) expect(again.body.equals(clean.body)).toBe(true)
  })

  test('X05 HEAD and GET are one, and a failure is not kept', async () => {
    const url = `${tintype.url}/demo/photo.jpg?tr=w-99`
    const first = await fetch(url, { method: 'HEAD' })
    const second = await fetch(url)
    expect(second.headers.get('etag')).toBe(first.headers.get('etag'))
    expect((await second.arrayBuffer()).byteLength).toBe(Number(first.headers.get('content-length')))
    expect((await fetch(`${tintype.url}/demo/late.png?tr=w-5`)).status).toBe(404)
    await put(tintype, '/late.png', png(30, 30, 8))
    expect((await fetch(`${tintype.url}/demo/late.png?tr=w-5`)).status).toBe(200)
  })

  test('X05 the automatic format says what it depends on', async () => {
    const automatic = await etagOf('photo.jpg?tr=w-20,f-auto', { accept: 'image/webp' })
    expect(automatic.headers.get('vary')).toMatch(/accept/i)
    expect(automatic.headers.get('content-type')).toBe('image/webp')
    const fixed = await etagOf('photo.jpg?tr=w-20,f-png')
    expect(fixed.headers.get('vary') ?? '').not.toMatch(/accept/i)
  })
})
