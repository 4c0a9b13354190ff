import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Why an outbound request failed. For the log and for retry decisions; never shown to a client. */
export type FetchFailureCode =
  | 'url-refused'
  | 'address-refused'
  | 'unresolved'
  | 'connection-failed'
  | 'headers-timeout'
  | 'redirect-refused'
  | 'encoding-refused'
  | 'response-invalid'
  | 'truncated'
  | 'too-slow'
  | 'too-long'
  | 'aborted'

export class FetchFailure extends Error {
  readonly code: FetchFailureCode

  constructor(code: FetchFailureCode, detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause })
    this.name = 'FetchFailure'
    this.code = code
  }
}

export type NetworkPolicyOptions = {
  allowPrivateNetwork: boolean
  allowHosts: string[]
  allowedLowPorts: number[]
  deniedPorts: number[]
  maxUrlBytes: number
}

/** Decides which URLs and addresses the server may talk to on behalf of a user. Pure. */
export type NetworkPolicy = {
  /**
   * Parses a URL that a user or a redirect gave and judges everything but what its name resolves to.
   * @throws FetchFailure url-refused, address-refused.
   */
  parseTarget(text: string, base?: URL): URL
  /**
   * Judges a host as it stands in a parsed URL: literal addresses fully, names as far as a name tells.
   * @throws FetchFailure address-refused.
   */
  checkHost(hostname: string): void
  /**
   * Judges one address that a name resolved to. All addresses of an answer must pass.
   * @throws FetchFailure address-refused.
   */
  checkAddress(address: string, hostname: string): void
}

/**
 * Addresses at which clouds hand out credentials and that are not all in a special range: they stay closed when
 * the private network is opened, since a self-hoster who wants to fetch from a NAS does not mean those.
 */
const METADATA_ADDRESSES = new Set(['fd00:ec2::254', '100.100.100.200', '168.63.129.16', 'fd20:ce::254'])

/** What `allowPrivateNetwork` opens; link-local, multicast, reserved and tunnelled ranges stay closed. */
const PRIVATE_RANGES = new Set(['loopback', 'private', 'uniqueLocal', 'carrierGradeNat'])

/**
 * @param options.allowHosts names (exact, or `*.example.com` for those below), addresses and CIDR ranges.
 * @throws Error when an entry of `allowHosts` is none of these.
 */
export function createNetworkPolicy(options: NetworkPolicyOptions): NetworkPolicy {
  const allowed = parseAllowList(options.allowHosts)
  const lowPorts = new Set(options.allowedLowPorts)
  const deniedPorts = new Set(options.deniedPorts)

  const checkAddress = (address: string, hostname: string) => {
    if (allowed.name(normalName(hostname))) return
    if (!isIP(address)) throw new FetchFailure('address-refused', `not an address: ${address.slice(0, 100)}`)
    const parsed = ipaddr.parse(address)
    if (allowed.address(parsed)) return
    if (isPublicAddress(parsed)) return
    if (
      options.allowPrivateNetwork &&
      PRIVATE_RANGES.has(parsed.range()) &&
      !METADATA_ADDRESSES.has(parsed.toString())
    ) {
      return
    }
    throw new FetchFailure('address-refused', `${hostname} is at ${address}, which is not public`)
  }

  const checkHost = (host: string) => {
    const hostname = host.startsWith('[') ? host.slice(1, -1) : host
    if (isIP(hostname)) return checkAddress(hostname, hostname)
    const name = normalName(hostname)
    if (name === '' || name.length > 253) throw new FetchFailure('url-refused', 'empty or overlong host name')
    if (
      (name === 'localhost' || name.endsWith('.localhost')) &&
      !options.allowPrivateNetwork &&
      !allowed.name(name)
    ) {
      throw new FetchFailure('address-refused', `${name} is this machine`)
    }
  }

  const parseTarget = (text: string, base?: URL) => {
    if (Buffer.byteLength(text) > options.maxUrlBytes) throw new FetchFailure('url-refused', 'overlong URL')
    // The parser would drop tabs and newlines and read a backslash as a slash: what looks like one host to a
    // person or a filter in front of us would be another one.
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code < 0x20 || code === 0x7f || code === 0x5c) {
        throw new FetchFailure('url-refused', 'control character or backslash in URL')
      }
    }
    const url = URL.parse(text, base?.href)
    if (!url) throw new FetchFailure('url-refused', 'not an absolute URL')
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new FetchFailure('url-refused', `scheme ${url.protocol.slice(0, 20)}`)
    }
    if (url.username !== '' || url.password !== '') throw new FetchFailure('url-refused', 'user info in URL')
    const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
    if ((port < 1024 && !lowPorts.has(port)) || deniedPorts.has(port)) {
      throw new FetchFailure('url-refused', `port ${port}`)
    }
    checkHost(url.hostname)
    url.hash = ''
    return url
  }

  return { parseTarget, checkHost, checkAddress }
}

/**
 * Whether an address is on the public internet. ipaddr.js calls IPv4-compatible and ISATAP addresses "unicast",
 * so IPv6 must also lie in 2000::/3 and must not carry an IPv4 address in its interface id.
 */
function isPublicAddress(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== 'unicast') return false
  if (METADATA_ADDRESSES.has(address.toString())) return false
  if (address.kind() === 'ipv4') return true
  const { parts } = address as ipaddr.IPv6
  if ((parts[0]! & 0xe000) !== 0x2000) return false
  const isIsatap = (parts[4] === 0 || parts[4] === 0x200) && parts[5] === 0x5efe
  return !isIsatap
}

function normalName(hostname: string): string {
  const name = hostname.toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}

function parseAllowList(entries: string[]) {
  const names = new Set<string>()
  const suffixes: string[] = []
  const ranges: [ipaddr.IPv4 | ipaddr.IPv6, number][] = []
  for (const entry of entries) {
    const text = entry.trim()
    if (text.includes('/')) {
      if (!ipaddr.isValidCIDR(text)) throw new Error(`allowHosts: "${text}" is not a CIDR range.`)
      ranges.push(ipaddr.parseCIDR(text))
    } else if (isIP(text)) {
      const address = ipaddr.parse(text)
      ranges.push([address, address.kind() === 'ipv4' ? 32 : 128])
    } else if (text.startsWith('*.') && text.length > 2) suffixes.push(normalName(text.slice(1)))
    else if (text !== '' && !text.includes('*') && !text.includes(':')) names.add(normalName(text))
    else throw new Error(`allowHosts: "${text}" is neither a host name, an address nor a CIDR range.`)
  }
  return {
    name: (name: string) => names.has(name) || suffixes.some((suffix) => name.endsWith(suffix)),
    address: (address: ipaddr.IPv4 | ipaddr.IPv6) =>
      ranges.some((range) => range[0].kind() === address.kind() && address.match(range)),
  }
}
