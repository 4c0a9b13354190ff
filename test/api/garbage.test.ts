import { mkdtemp, readdir, rm, stat, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { openInstallation } from '../../src/installation.ts'
import { collectGarbage } from '../../src/library/library.ts'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype({
    env: {
      TINTYPE_HOUSEKEEPING_BLOBS_EVERY_SEC: '1',
      TINTYPE_HOUSEKEEPING_BLOB_GRACE_SEC: '3600',
    },
  })
})
afterAll(() => tintype.stop())

/** Paths of all blobs. */
async function blobPaths(): Promise<string[]> {
  const root = join(tintype.dataDir, 'blobs')
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

async function age(path: string, hours: number): Promise<void> {
  const time = new Date(Date.now() - hours * 3_600_000)
  await utimes(path, time, time)
}

const whySkipped = onlyAlone('it makes files of a data folder older')

describe.skipIf(isCluster)(`blobs that no file refers to${whySkipped}`, () => {
  it('are removed after the grace period, and no others', async () => {
    const contents = ['kept and old', 'deleted and old', 'deleted and young']
    const files: Record<string, { fileId: string; path: string }> = {}
    for (const content of contents) {
      const before = new Set(await blobPaths())
      const { body } = await upload(tintype, Buffer.from(content), { fileName: 'a.txt' })
      const path = (await blobPaths()).find((candidate) => !before.has(candidate))!
      files[content] = { fileId: body.fileId as string, path }
    }
    for (const content of contents.slice(1)) {
      const answer = await fetch(`${tintype.url}/v1/files/${files[content]!.fileId}`, {
        method: 'DELETE',
        headers: { authorization: tintype.authorization },
      })
      expect(answer.status).toBe(204)
    }
    await age(files['kept and old']!.path, 2)
    await age(files['deleted and old']!.path, 2)

    const exists = (content: string) =>
      stat(files[content]!.path).then(
        () => true,
        () => false,
      )
    await expect.poll(() => exists('deleted and old'), { timeout: 10_000 }).toBe(false)
    expect(await exists('kept and old')).toBe(true)
    expect(await exists('deleted and young')).toBe(true)
  })

  it('are renewed by an upload of the same bytes', async () => {
    const again = await upload(tintype, Buffer.from('kept and old'), { fileName: 'b.txt' })
    expect(again.status).toBe(200)
    const paths = await blobPaths()
    const ages = await Promise.all(paths.map(async (path) => Date.now() - (await stat(path)).mtimeMs))
    expect(Math.max(...ages)).toBeLessThan(60_000)
  })

  it('are removed once by several that sweep at the same time, and no others', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'tintype-garbage-'))
    const { config } = loadConfig([], { TINTYPE_DATA_DIR: dataDir })
    const nodes = await Promise.all([1, 2, 3].map(() => openInstallation(config, { create: true })))
    try {
      const { blobs } = nodes[0]!
      for (let at = 0; at < 40; at += 1) {
        const writer = blobs.stage({ maxBytes: () => 100 })
        await writer.write(Buffer.from(`nobody needs ${at}`))
        await blobs.commit(await writer.finish())
      }
      const sweep = (node: (typeof nodes)[number]) =>
        collectGarbage({ graceMs: 0, nowMs: Date.now() + 1 }, node)
      await Promise.all(nodes.map(sweep))
      for await (const left of blobs.list()) expect(left).toBeUndefined()
    } finally {
      for (const node of nodes) await node.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
