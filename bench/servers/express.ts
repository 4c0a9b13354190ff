/**
 * What a developer writes by hand in an afternoon: Express, multer, sharp, a table of files. Nothing is hashed and
 * nothing is synced to the disk.
 *
 * node express.ts PORT FOLDER
 */
import { mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import express from 'express'
import multer from 'multer'
import sharp from 'sharp'

const [port, folder] = [Number(process.argv[2]), process.argv[3]!]
const uploads = join(folder, 'uploads')
mkdirSync(uploads, { recursive: true })

const database = new DatabaseSync(join(folder, 'files.db'))
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, width INTEGER, height INTEGER, created TEXT);
`)
const insert = database.prepare(
  'INSERT INTO files (name, size, width, height, created) VALUES (?, ?, ?, ?, ?)',
)
const list = database.prepare('SELECT * FROM files ORDER BY id LIMIT ? OFFSET ?')

const app = express()
const upload = multer({ dest: uploads, limits: { fileSize: 4e9 } })

app.get('/health', (_request, response) => {
  response.json({ status: 'ok' })
})

app.post('/upload', upload.single('file'), async (request, response) => {
  const file = request.file!
  const { width, height } = await sharp(file.path)
    .metadata()
    .catch(() => ({ width: null, height: null }))
  const created = new Date().toISOString()
  const { lastInsertRowid } = insert.run(file.originalname, file.size, width, height, created)
  const url = `/files/${basename(file.path)}`
  response.json({
    id: Number(lastInsertRowid),
    name: file.originalname,
    url,
    size: file.size,
    width,
    height,
    created,
  })
})

app.get('/list', (request, response) => {
  response.json(list.all(Number(request.query.limit), Number(request.query.skip ?? 0)))
})

app.use('/files', express.static(uploads))

app.listen(port, '127.0.0.1')
