import { createRequire } from 'node:module'
import ImageKit7 from '@imagekit/nodejs'
import type { AxiosStatic } from 'axios'
import type ImageKit6 from 'imagekit'
import { recorded } from './sdk-cases.ts'
import type { Server } from './server.ts'

const require = createRequire(import.meta.url)

/** The current official Node SDK, pointed at a server. Without retries, so that a test sees each answer. */
export function sdk7(server: Server, privateKey = server.privateKey): ImageKit7 {
  return recorded('sdk7', new ImageKit7({ privateKey, baseURL: server.url, maxRetries: 0 }))
}

/** Which server the legacy SDK's requests with a private key belong to: its API host cannot be set. */
const redirects = new Map<string, string>()
let redirecting = false

/** The legacy official Node SDK, pointed at a server: uploads by its option, the rest by rewriting the host. */
export function sdk6(server: Server, version: 'v1' | 'v2' = 'v1', privateKey = server.privateKey): ImageKit6 {
  if (!redirecting) {
    redirecting = true
    // The very instance that the SDK loads; an `import` would give the other build of the package.
    const axios = require('axios') as AxiosStatic
    axios.interceptors.request.use((config) => {
      const target = redirects.get(config.auth?.username ?? '')
      if (target) config.url = config.url?.replace('https://api.imagekit.io', target)
      return config
    })
  }
  redirects.set(privateKey, server.url)
  const ImageKit = require('imagekit') as typeof ImageKit6
  const client = new ImageKit({
    publicKey: server.publicKey,
    privateKey,
    urlEndpoint: server.endpoint,
    uploadEndpoint: `${server.url}/api/${version}/files/upload`,
  } as ConstructorParameters<typeof ImageKit6>[0])
  return recorded('sdk6', client)
}
