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
    id INTEGER PRIMARY KEY, fileId TEXT, name TEXT, filePath TEXT, hash TEXT, size INTEGER,
    width INTEGER, height INTEGER, tags TEXT, createdAt TEXT
  );
  CREATE INDEX files_created ON files (createdAt, id);
`)
const insert = database.prepare(
  'INSERT INTO files (fileId, name, filePath, hash, size, width, height, tags, createdAt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
)
const list = database.prepare('SELECT * FROM files ORDER BY createdAt, id LIMIT ? OFFSET ?')

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
  const { width, height } = await sharp(path)
    .metadata()
    .catch(() => ({ width: null, height: null }))
  const record = {
    fileId: hash.slice(0, 24),
    name: fields.fileName!,
    filePath: `/${fields.fileName}`,
    hash,
    size,
  }
  const createdAt = new Date().toISOString()
  insert.run(record.fileId, record.name, record.filePath, hash, size, width, height, null, createdAt)
  return { ...record, width, height, createdAt }
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
    send(response, rows)
  } else send(response, { status: 'ok' })
})
server.requestTimeout = 0
server.listen(port, '127.0.0.1')
