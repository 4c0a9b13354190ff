// @ts-check
// The module of the thread that hashes large uploads. Plain JavaScript: the compiler that strips types would take more
// memory than all the rest of the thread.
import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/**
 * @import { Hash } from 'node:crypto'
 * @import { HashAnswer, HashRequest } from './hasher.ts'
 */

/** @type {Map<number, Hash>} */
const hashes = new Map()

parentPort?.on('message', (/** @type {HashRequest} */ request) => {
  if (request.op === 'drop') {
    hashes.delete(request.stream)
    return
  }
  let hash = hashes.get(request.stream)
  if (!hash) {
    hash = createHash('sha256')
    hashes.set(request.stream, hash)
  }
  /** @type {HashAnswer} */
  const answer = { stream: request.stream }
  if (request.op === 'update') hash.update(new Uint8Array(request.bytes, 0, request.length))
  else {
    answer.digest = hash.digest('hex')
    hashes.delete(request.stream)
  }
  parentPort?.postMessage(answer)
})
