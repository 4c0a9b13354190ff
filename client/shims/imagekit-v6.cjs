// Preload for programs that use the `imagekit` 6 SDK, whose API hosts are hard-coded:
//
//   TINTYPE_URL=https://media.example.com node --require @tintype/client/imagekit-v6 app.js
//
// Requests of the SDK to api.imagekit.io and upload.imagekit.io then go to TINTYPE_URL. Other requests of the
// program, and other copies of axios, are left alone.
// `_load` is not in the types; it has been what preloads wrap since Node's beginnings.
const Module = /** @type {any} */ (require('node:module'))

const HOSTED = /^https:\/\/(?:api|upload)\.imagekit\.io(?=\/|$)/
const base = process.env.TINTYPE_URL?.replace(/\/+$/, '')
if (!/^https?:\/\//.test(base ?? '')) {
  throw new Error('TINTYPE_URL is missing: set it to where Tintype answers, e.g. https://media.example.com')
}

const redirected = new WeakSet()
const load = Module._load
// The SDK's own request for axios is what is watched, since that is the copy it sends with.
Module._load = function (
  /** @type {string} */ request,
  /** @type {{ filename?: string } | undefined} */ parent,
  /** @type {unknown[]} */ ...rest
) {
  const loaded = load.call(this, request, parent, ...rest)
  const isOfSdk = /[\\/]imagekit[\\/]dist[\\/]/.test(parent?.filename ?? '')
  if (request === 'axios' && isOfSdk && !redirected.has(loaded)) {
    redirected.add(loaded)
    loaded.interceptors.request.use((/** @type {{ url?: string }} */ config) => {
      config.url = config.url?.replace(HOSTED, () => String(base))
      return config
    })
  }
  return loaded
}
