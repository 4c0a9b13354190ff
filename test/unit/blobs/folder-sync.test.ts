import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFolderSync } from '../../../src/blobs/folder-sync.ts'

test('callers during a sync share the next one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sync-'))
  const sync = createFolderSync()
  const first = sync(folder)
  const second = sync(folder)
  const third = sync(folder)
  expect(second).toBe(third)
  expect(first).not.toBe(second)
  await Promise.all([first, second, third])
  await sync(folder)
  await rm(folder, { recursive: true })
})

test('a sync that fails fails its own callers only', async () => {
  const folder = join(await mkdtemp(join(tmpdir(), 'sync-')), 'absent')
  const sync = createFolderSync()
  const results = await Promise.allSettled([sync(folder), sync(folder)])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await expect(sync(folder)).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(sync(tmpdir())).resolves.toBeUndefined()
})
