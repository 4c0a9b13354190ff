/**
 * The request target that one of our delivery URLs has, e.g. `/demo/a.jpg?tr=w-200`; undefined for URLs of others.
 * @param baseUrl base of our URLs, without a trailing slash. Whether it is http or https does not matter: proxies
 * change that.
 * @param accountId first part of delivery paths.
 */
export function ownTarget(url: string, baseUrl: string, accountId: string): string | undefined {
  const parsed = parseUrl(url)
  const base = parseUrl(baseUrl)
  if (!parsed || !base || parsed.host !== base.host) return undefined
  const basePath = base.pathname.replace(/\/+$/, '')
  if (!parsed.pathname.startsWith(`${basePath}/${accountId}/`)) return undefined
  return parsed.pathname.slice(basePath.length) + parsed.search
}

function parseUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  return url && /^https?:$/.test(url.protocol) ? url : undefined
}

/**
 * The value of a `url` parameter. An older SDK does not encode it, so that its own `&` looks like the beginning of
 * the next parameter (contract notes 6.2): everything up to the end belongs to such a URL once it has a query.
 * @param target raw request target.
 */
export function readUrlParameter(target: string): string | undefined {
  const queryStart = target.indexOf('?')
  const query = queryStart < 0 ? '' : target.slice(queryStart + 1)
  const match = /(?:^|&)url=/.exec(query)
  if (!match) return undefined
  const rest = query.slice(match.index + match[0].length)
  const [value] = rest.split('&', 1) as [string]
  if (/^https?:\/\//i.test(value)) return value.includes('?') ? rest : value
  try {
    return decodeURIComponent(value.replaceAll('+', '%20'))
  } catch {
    return value
  }
}
