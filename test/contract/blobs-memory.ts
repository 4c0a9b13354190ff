// Run by the suite in a process of its own: streams a large upload and prints how far the memory rose.
import { randomBytes } from 'node:crypto'
import { openBlobs } from '../../src/blobs/blobs.ts'
import { silentLog } from '../../src/kernel/log.ts'

const SIZE_BYTES = 300_000_000
const CHUNK_BYTES = 64 * 1024

const blobs = await openBlobs(JSON.parse(process.argv[2]!), { log: silentLog })

async function upload(sizeBytes: number): Promise<string> {
  const writer = blobs.stage({ maxBytes: () => SIZE_BYTES })
  // One chunk for all: garbage of the sender would hide what the receiver holds.
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (let sent = 0; sent < sizeBytes; sent += CHUNK_BYTES) {
    await writer.write(chunk.subarray(0, sizeBytes - sent))
  }
  const staged = await writer.finish()
  await blobs.commit(staged)
  return staged.sha256
}

const warm = blobs.stage({ maxBytes: () => SIZE_BYTES })
await warm.write(randomBytes(5_000_000))
await blobs.discard(await warm.finish())
const before = process.memoryUsage.rss()
let highest = before
const sampler = setInterval(() => {
  highest = Math.max(highest, process.memoryUsage.rss())
}, 5)
const sha256 = await upload(SIZE_BYTES)
clearInterval(sampler)
const sizeBytes = (await blobs.stat(sha256))?.sizeBytes
await blobs.remove(sha256)
await blobs.close()
process.stdout.write(JSON.stringify({ riseBytes: highest - before, sizeBytes }))
