import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { TestTintype } from './tintype.ts'
import type { WireAnswer } from './wire.ts'

/** What must never stand in an answer: stacks, paths of the machine, SQL, addresses inside, keys. */
const PRIVATE =
  /\bat (?:async )?\S+ \(|\n\s+at |node_modules|\/src\/|\/tmp\/|\/home\/|\/root\/|SQLITE|SELECT |INSERT |ECONN|ENOENT|EACCES|private_test_/

/** Checks an error of the API or of delivery: its status, its shape, and that it tells nothing of the inside. */
export function expectRefusal(
  answer: { status: number; body: string; requestId: string | null | undefined },
  status: number | readonly number[],
  message?: RegExp | string,
): void {
  const statuses = typeof status === 'number' ? [status] : status
  expect(statuses, `${answer.status} ${answer.body.slice(0, 300)}`).toContain(answer.status)
  const body = JSON.parse(answer.body) as { message: string; help: string }
  expect(body.message).toMatch(/\S/)
  expect(body.help).toMatch(/\S/)
  expect(answer.body).not.toMatch(PRIVATE)
  if (typeof message === 'string') expect(body.message).toBe(message)
  else if (message) expect(body.message).toMatch(message)
  expect(answer.requestId ?? 'x').toMatch(/\S/)
}

/** The same for an answer from the wire. */
export function expectWireRefusal(
  answer: WireAnswer | undefined,
  status: number | readonly number[],
  message?: RegExp | string,
): void {
  expect(answer, 'there is an answer').toBeDefined()
  expectRefusal(
    {
      status: answer!.status,
      body: answer!.body.toString('utf8'),
      requestId: answer!.headers.get('x-ik-requestid'),
    },
    status,
    message,
  )
  expect(answer!.headers.get('content-type')).toMatch(/^application\/json/)
}

/** Everything an upload could leave behind: rows, staged files, blobs. */
export async function traces(
  tintype: TestTintype,
): Promise<{ files: number; staged: number; blobs: number }> {
  const { assets } = await tintype.library.search({
    type: 'file',
    sort: { key: 'CREATED', descending: false },
    limit: 1000,
    skip: 0,
  })
  return {
    files: assets.length,
    staged: await countFiles(join(tintype.dataDir, 'staging')),
    blobs: await countFiles(join(tintype.dataDir, 'blobs')),
  }
}

async function countFiles(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).length
}
