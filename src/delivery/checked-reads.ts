import { createHash } from 'node:crypto'
import { type Readable, Transform } from 'node:stream'
import { LRUCache } from 'lru-cache'
import type { Blobs } from '../blobs/blobs.ts'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'

/** Blobs that are remembered as whole; the check costs more than the sending. */
const MAX_REMEMBERED = 20_000

/**
 * Reads whole blobs that are too large to be held against their hash before they are sent: the first time since the
 * start each is hashed on its way, and one that is damaged comes to an error before its last chunk, so that its
 * receiver has fewer bytes than were announced instead of wrong ones (trust F05). What breaks later is found by `verify`.
 */
export function createCheckedReads(deps: {
  blobs: Pick<Blobs, 'read'>
  log: Log
}): (sha256: string) => Promise<Readable> {
  const whole = new LRUCache<string, true>({ max: MAX_REMEMBERED })

  return async (sha256) => {
    const source = await deps.blobs.read(sha256)
    if (whole.has(sha256)) return source
    const hash = createHash('sha256')
    let held: Buffer | undefined
    const check = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        hash.update(chunk)
        const next = held
        held = chunk
        callback(null, next)
      },
      flush(callback) {
        if (hash.digest('hex') === sha256) {
          whole.set(sha256, true)
          callback(null, held)
          return
        }
        deps.log.error(
          { sha256 },
          'a damaged blob was not delivered; tintype verify tells which files show it',
        )
        callback(new TintypeError('internal', 'The file is damaged. The administrator has been told.'))
      },
    })
    source.on('error', (error) => check.destroy(error))
    check.on('close', () => source.destroy())
    return source.pipe(check)
  }
}
