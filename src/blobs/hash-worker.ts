import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/** What the main thread asks for. `update` names bytes in shared memory, so that none are copied. */
export type HashRequest =
  | { op: 'update'; stream: number; bytes: SharedArrayBuffer; length: number }
  | { op: 'digest'; stream: number }
  | { op: 'drop'; stream: number }

/** One answer for each `update` (no digest) and each `digest`, in the order of the requests. */
export type HashAnswer = { stream: number; digest?: string }

const hashes = new Map<number, Hash>()

parentPort?.on('message', (request: HashRequest) => {
  if (request.op === 'drop') {
    hashes.delete(request.stream)
    return
  }
  let hash = hashes.get(request.stream)
  if (!hash) {
    hash = createHash('sha256')
    hashes.set(request.stream, hash)
  }
  const answer: HashAnswer = { stream: request.stream }
  if (request.op === 'update') hash.update(new Uint8Array(request.bytes, 0, request.length))
  else {
    answer.digest = hash.digest('hex')
    hashes.delete(request.stream)
  }
  parentPort?.postMessage(answer)
})
