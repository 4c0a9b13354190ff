/** Hosts that clients of the hosted service have hard-coded. */
const HOSTED = /^https:\/\/(?:upload|api)\.imagekit\.io(?=\/|$)/

/**
 * @param {string} endpoint
 * @returns {XMLHttpRequest}
 */
export function createXhr(endpoint) {
  const base = endpoint.replace(/\/+$/, '')
  const xhr = new XMLHttpRequest()
  const open = /** @type {(method: string, url: string, ...rest: unknown[]) => void} */ (xhr.open.bind(xhr))
  xhr.open = (
    /** @type {string} */ method,
    /** @type {string | URL} */ url,
    /** @type {unknown[]} */ ...rest
  ) =>
    open(
      method,
      String(url).replace(HOSTED, () => base),
      ...rest,
    )
  return xhr
}
