/**
 * The child process that decodes, transforms and encodes images. It has no secrets, no network use and a minimal
 * environment; the parent kills it when a file makes it run too long, and replaces it when a file crashes it.
 */
import sharp from 'sharp'
import { TintypeError } from '../../kernel/errors.ts'
import { analyse } from './analyse.ts'
import type { Job, JobResult, Reply } from './job.ts'
import { render } from './render.ts'

// Decoders are chosen by content, not by name: only those that are meant to be used may run (trust C15).
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({
  operation: [
    'VipsForeignLoadJpeg',
    'VipsForeignLoadPng',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadTiff',
    'VipsForeignLoadHeif',
    'VipsForeignLoadSvg',
  ],
})
// A cache would only keep pixels that no other request asks for.
sharp.cache(false)
sharp.concurrency(1)

function run(job: Job): Promise<JobResult> {
  return job.kind === 'render' ? render(job) : analyse(job)
}

function send(reply: Reply) {
  process.send?.(reply)
}

process.on('message', (message: { id: number; job: Job }) => {
  const { id, job } = message
  run(job).then(
    (result) => send({ id, ok: true, result }),
    (error: Error) => {
      const known = error instanceof TintypeError
      if (!known && 'syscall' in error) {
        // A disk that is full, a folder that is gone: the file is not to blame.
        const message = 'The image could not be written. Please try again.'
        send({ id, ok: false, kind: 'unavailable', message, cause: String(error) })
        return
      }
      send({
        id,
        ok: false,
        kind: known ? error.kind : 'bad-request',
        message: known
          ? error.message
          : 'The image could not be transformed: it is corrupt or not supported.',
        cause: String(known ? (error.cause ?? '') : (error.stack ?? error)),
      })
    },
  )
})

// The parent is gone.
process.on('disconnect', () => process.exit(0))
send({ id: 0, ok: true, result: { pHash: '', hasTransparency: false } })
