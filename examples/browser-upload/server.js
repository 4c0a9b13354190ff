// The backend of the example: sends the pages, and signs uploads with the private key, which stays here.
//
//   TINTYPE_URL=http://127.0.0.1:8080 TINTYPE_URL_ENDPOINT=http://127.0.0.1:8080/your_id \
//   TINTYPE_PUBLIC_KEY=public_... TINTYPE_PRIVATE_KEY=private_... node examples/browser-upload/server.js
//
// In an application of its own, import from '@tintype/client/server'.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createExpressHandler } from '../../client/server/server.js'

const settings = {
  tintype: required('TINTYPE_URL').replace(/\/+$/, ''),
  urlEndpoint: required('TINTYPE_URL_ENDPOINT'),
  publicKey: required('TINTYPE_PUBLIC_KEY'),
}
const keys = { publicKey: settings.publicKey, privateKey: required('TINTYPE_PRIVATE_KEY') }

const pages = {
  '/': 'index.html',
  '/without-client': 'without-client.html',
}

const endpoints = {
  '/auth': createExpressHandler({
    ...keys,
    // Your session check belongs here. This one lets everybody upload pictures, and nothing else.
    authorize: (_request, { uploadPayload }) =>
      /\.(jpe?g|png|webp|avif|gif)$/i.test(uploadPayload.fileName ?? ''),
  }),
  // v1 signs no fields: whoever gets these credentials may upload anything once. Offer it only if you need it.
  '/auth-v1': createExpressHandler({ ...keys, apiVersion: 'v1', authorize: () => true }),
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  const page = pages[pathname]
  const endpoint = endpoints[pathname]
  if (endpoint) await endpoint(request, response)
  else if (page) response.setHeader('content-type', 'text/html; charset=utf-8').end(await render(page))
  else response.writeHead(404).end('Not found')
})
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`Open http://127.0.0.1:${server.address().port}/`)
})

/** Fills in the settings, which are all public. */
async function render(page) {
  const html = await readFile(new URL(page, import.meta.url), 'utf8')
  return html.replace(/\{\{(\w+)\}\}/g, (_, name) =>
    settings[name].replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
  )
}

function required(name) {
  const value = process.env[name]
  if (value) return value
  console.error(`${name} is missing; see the head of this file.`)
  process.exit(1)
}
