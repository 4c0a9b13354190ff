/**
 * The child process that decodes, transforms and encodes images. It has no secrets, no network use and a minimal
 * environment; the parent kills it when a file makes it run too long, and replaces it when a file crashes it.
 */
import { open } from 'node:fs/promises'
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

process.on('message', async (message: { id: number; job: Job }) => {
  const { id, job } = message
  try {
    send({ id, ok: true, result: await run(job) })
  } catch (error) {
    send({ id, ok: false, ...(await judge(error as Error, job)) })
  }
})

/** What a failure means: that the disk is to blame, or the picture. */
async function judge(error: Error, job: Job): Promise<{ kind: string; message: string; cause: string }> {
  const isKnown = error instanceof TintypeError
  const ofDisk = !isKnown && 'syscall' in error ? error : await readingFails(job)
  if (ofDisk) {
    // A disk that is full or broken, a folder that is gone: the file is not to blame.
    const message = 'The image could not be read or written. Please try again.'
    return { kind: 'unavailable', message, cause: String(ofDisk) }
  }
  if (isKnown) return { kind: error.kind, message: error.message, cause: String(error.cause ?? '') }
  const message = 'The image could not be transformed: it is corrupt or not supported.'
  return { kind: 'bad-request', message, cause: error.stack ?? String(error) }
}

/** Decoders do not tell a picture that is damaged from one that cannot be read: what reading it again says. */
async function readingFails(job: Job): Promise<Error | undefined> {
  const layers = job.kind === 'render' ? Object.values(job.layers) : []
  const buffer = Buffer.allocUnsafe(256 * 1024)
  try {
    for (const { path } of [job.source, ...layers]) {
      await using file = await open(path)
      while ((await file.read(buffer, 0, buffer.length, null)).bytesRead > 0);
    }
    return undefined
  } catch (error) {
    return error as Error
  }
}

// The parent is gone.
process.on('disconnect', () => process.exit(0))
send({ id: 0, ok: true, result: { pHash: '', hasTransparency: false } })
