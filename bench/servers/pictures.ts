/**
 * What stands beside Tintype in the benchmark of transformations: the least that can answer.
 *
 * node pictures.ts PORT FOLDER sharp|ipx|memory
 *
 * `sharp`: `GET /<width>/<format>/<name>` resizes a file of the folder by bare sharp, with nothing around it.
 * `ipx`: the server of that package over the folder. `memory`: answers every request with the one file of the folder,
 * read once: what `node:http` can do at best.
 */
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import { createIPX, createIPXNodeServer, ipxFSStorage } from 'ipx'
import sharp from 'sharp'

const [port, folder, mode] = [Number(process.argv[2]), process.argv[3]!, process.argv[4]]

/** Tintype's defaults: with others the encoders' settings would be compared. */
const QUALITY = 80
const AVIF_EFFORT = 1

function bareSharp(): RequestListener {
  return async (request, response) => {
    const [, width, format, name] = request.url!.split('/')
    const pipeline = sharp(join(folder, name!)).autoOrient().resize(Number(width))
    try {
      const body = await (format === 'avif'
        ? pipeline.avif({ quality: QUALITY, effort: AVIF_EFFORT })
        : pipeline.webp({ quality: QUALITY })
      ).toBuffer()
      response.writeHead(200, { 'content-type': `image/${format}`, 'content-length': body.length }).end(body)
    } catch (error) {
      const text = String(error)
      response.writeHead(400, { 'content-length': Buffer.byteLength(text) }).end(text)
    }
  }
}

function fromMemory(): RequestListener {
  let body: Buffer | undefined
  return (_request, response) => {
    body ??= readFileSync(join(folder, 'still.webp'))
    response.writeHead(200, { 'content-type': 'image/webp', 'content-length': body.length }).end(body)
  }
}

function ipx(): RequestListener {
  return createIPXNodeServer(createIPX({ storage: ipxFSStorage({ dir: folder }), maxAge: 60 }))
}

const listeners: Record<string, () => RequestListener> = { sharp: bareSharp, ipx, memory: fromMemory }
const answer = listeners[mode!]!()
createServer((request, response) => {
  if (request.url === '/health') response.writeHead(200, { 'content-length': 0 }).end()
  else answer(request, response)
}).listen(port, '127.0.0.1')
