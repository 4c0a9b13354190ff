// @ts-check
// The module of the thread that puts small blobs into place. Plain JavaScript: the compiler that strips types would
// take more memory than all the rest of the thread.
import { close, fdatasync, fsync, mkdir, open, rename, unlink, write } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { parentPort } from 'node:worker_threads'

/** @import { CommitAnswer, CommitRequest } from './committer.ts' */

// Plain descriptors: a FileHandle for each of six calls costs more than some of the calls do.
const files = {
  open: promisify(open),
  fdatasync: promisify(fdatasync),
  fsync: promisify(fsync),
  mkdir: promisify(mkdir),
  rename: promisify(rename),
  unlink: promisify(unlink),
}

/**
 * The order in which nothing half written can be seen, at any instant (trust, "local disk"): a file of another name,
 * its bytes synced, renamed, its folder synced.
 * @param {CommitRequest} request
 */
async function commit({ bytes, length, draft, path }) {
  // Exclusive: a link planted under the name would otherwise decide where the bytes go.
  const file = await files.open(draft, 'wx', 0o600)
  const opening = openFolder(dirname(path))
  // Looked at below; until then a rejection is not unhandled.
  opening.catch(() => {})
  try {
    await writeFully(file, new Uint8Array(bytes, 0, length))
    // A failed sync is never tried again: the kernel may have dropped the dirty pages and would report success.
    await files.fdatasync(file)
    const folder = await opening
    // Over an equal blob too: that costs less than to ask, renews its age, and heals it where it was damaged.
    await files.rename(draft, path)
    await files.fsync(folder)
  } catch (error) {
    // Nothing is there any more once it was renamed: an equal blob may belong to files that were kept long ago.
    await files.unlink(draft).catch(() => {})
    throw error
  } finally {
    close(file, () => {})
    opening.then(
      (folder) => close(folder, () => {}),
      () => {},
    )
  }
}

/**
 * @param {string} folder made again where somebody has tidied up
 * @returns {Promise<number>}
 */
async function openFolder(folder) {
  try {
    return await files.open(folder, 'r')
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error
  }
  await files.mkdir(folder, { recursive: true, mode: 0o700 })
  const parent = await files.open(dirname(folder), 'r')
  try {
    await files.fsync(parent)
  } finally {
    close(parent, () => {})
  }
  return files.open(folder, 'r')
}

/**
 * A write may take fewer bytes than it was given.
 * @param {number} file
 * @param {Uint8Array} bytes
 * @returns {Promise<void>}
 */
function writeFully(file, bytes) {
  return new Promise((resolve, reject) => {
    const writeFrom = (/** @type {number} */ done) => {
      if (done === bytes.length) return resolve()
      write(file, bytes, done, bytes.length - done, done, (error, count) => {
        if (error) reject(error)
        else writeFrom(done + count)
      })
    }
    writeFrom(0)
  })
}

parentPort?.on('message', (/** @type {CommitRequest} */ request) => {
  const { id, bytes } = request
  /** @param {CommitAnswer['failure']} failure */
  const answer = (failure) => {
    parentPort?.postMessage(/** @satisfies {CommitAnswer} */ ({ id, bytes, failure }), [bytes])
  }
  commit(request).then(
    () => answer(undefined),
    ({ message, code, errno, syscall }) => answer({ message, code, errno, syscall }),
  )
})
