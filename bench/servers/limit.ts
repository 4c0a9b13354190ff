/**
 * What the machine allows: bare `node:http` and the duties of an upload that is safe when it is acknowledged, and
 * nothing else. No routes, no validation, no keys, no versions.
 *
 * node limit.ts PORT FOLDER full|fsync
 *
 * `fsync`: parse the form, SHA-256, write, fsync, rename. `full`: the same, image metadata, and one row in SQLite at
 * `synchronous = FULL`.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream, mkdirSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'
import sharp from 'sharp'

const [port, folder, mode] = [Number(process.argv[2]), process.argv[3]!, process.argv[4]]
const isFull = mode === 'full'
const blobs = join(folder, 'blobs')
mkdirSync(blobs, { recursive: true })

const database = new DatabaseSync(join(folder, 'files.db'))
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE files (
    id INTEGER PRIMARY KEY, fileId TEXT, name TEXT, filePath TEXT, hash TEXT, mime TEXT, size INTEGER, width INTEGER,
    height INTEGER, hasAlpha INTEGER, tags TEXT, embedded TEXT, isPrivate INTEGER, isPublished INTEGER, createdAt INTEGER
  );
  CREATE INDEX files_created ON files (createdAt, id);
`)
const insert = database.prepare(
  `INSERT INTO files (fileId, name, filePath, hash, mime, size, width, height, hasAlpha, tags, embedded, isPrivate, isPublished, createdAt)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?)`,
)
const list = database.prepare('SELECT * FROM files ORDER BY createdAt, id LIMIT ? OFFSET ?')

/** A row in the shape that the API lists files in, so that both servers send as much. */
function present(row: Record<string, unknown>) {
  const url = `http://localhost:${port}/limit${row.filePath}?updatedAt=${row.createdAt}`
  const time = new Date(row.createdAt as number).toISOString()
  return {
    type: 'file',
    name: row.name,
    createdAt: time,
    updatedAt: time,
    fileId: row.fileId,
    tags: row.tags === null ? null : JSON.parse(row.tags as string),
    AITags: null,
    versionInfo: { id: row.fileId, name: 'Version 1' },
    embeddedMetadata: JSON.parse(row.embedded as string),
    isPublished: row.isPublished === 1,
    isPrivateFile: row.isPrivate === 1,
    customCoordinates: null,
    customMetadata: {},
    description: null,
    filePath: row.filePath,
    url,
    thumbnail: `${url}&tr=n-ik_ml_thumbnail`,
    fileType: 'image',
    mime: row.mime,
    height: row.height,
    width: row.width,
    size: row.size,
    hasAlpha: row.hasAlpha === 1,
  }
}

/** Writes a stream to a file that is on the disk when it resolves, under the hash of its bytes. */
async function keep(stream: Readable): Promise<{ path: string; hash: string; size: number }> {
  const temporary = join(blobs, `${randomUUID()}.tmp`)
  const hash = createHash('sha256')
  let size = 0
  await pipeline(
    stream,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        size += chunk.length
        yield chunk
      }
    },
    // `flush` is the fsync before the file is closed.
    createWriteStream(temporary, { flags: 'wx', flush: true, highWaterMark: 1024 * 1024 }),
  )
  const digest = hash.digest('hex')
  const path = join(blobs, digest)
  await rename(temporary, path)
  return { path, hash: digest, size }
}

async function receive(request: IncomingMessage): Promise<object> {
  let kept: ReturnType<typeof keep> | undefined
  const fields: Record<string, string> = {}
  const parser = busboy({ headers: request.headers, highWaterMark: 256 * 1024, fileHwm: 256 * 1024 })
  parser.on('file', (_name, stream) => {
    kept = keep(stream)
  })
  parser.on('field', (name, value) => {
    fields[name] = value
  })
  await pipeline(request, parser)
  const { path, hash, size } = await kept!
  if (!isFull) return { hash, size }
  const { width, height, format, hasAlpha } = await sharp(path)
    .metadata()
    .catch(() => ({ width: null, height: null, format: null, hasAlpha: false }))
  const record = { fileId: hash.slice(0, 24), name: fields.fileName!, filePath: `/${fields.fileName}`, size }
  insert.run(
    ...[record.fileId, record.name, record.filePath, hash, `image/${format}`, size],
    ...[width, height, hasAlpha ? 1 : 0, null, '{}', Date.now()],
  )
  return {
    ...record,
    width,
    height,
    versionInfo: { id: record.fileId, name: 'Version 1' },
    fileType: 'image',
  }
}

function send(response: ServerResponse, body: object) {
  const text = JSON.stringify(body)
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}

const server = createServer({ highWaterMark: 256 * 1024 }, (request, response) => {
  if (request.method === 'POST') {
    receive(request).then(
      (body) => send(response, body),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  } else if (request.url!.startsWith('/list')) {
    const query = new URL(request.url!, 'http://localhost').searchParams
    const rows = list.all(Number(query.get('limit')), Number(query.get('skip') ?? 0))
    send(response, rows.map(present))
  } else send(response, { status: 'ok' })
})
server.requestTimeout = 0
server.listen(port, '127.0.0.1')
