import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../../src/kernel/log.ts'
import { type HeaderFacts, type Inspection, inspect, readHeaderFacts } from '../../../src/media/media.ts'

const HEAD_BYTES = 256 * 1024

/** Inspects bytes as an upload of them would; a file is written only if the inspection asks for one. */
export async function inspectBytes(bytes: Buffer, name = 'file'): Promise<Inspection> {
  return withSource(bytes, (source) => inspect({ ...source, name }, { log: silentLog }))
}

export async function headerFactsOf(bytes: Buffer, format: string): Promise<HeaderFacts> {
  return withSource(bytes, (source) => readHeaderFacts({ ...source, format }, { log: silentLog }))
}

type Source = { head: Buffer; sizeBytes: number; localPath(): Promise<string> }

async function withSource<T>(bytes: Buffer, use: (source: Source) => Promise<T>): Promise<T> {
  const folders: string[] = []
  try {
    return await use({
      head: bytes.subarray(0, HEAD_BYTES),
      sizeBytes: bytes.length,
      async localPath() {
        const folder = await mkdtemp(join(tmpdir(), 'media-'))
        folders.push(folder)
        const path = join(folder, 'file')
        await writeFile(path, bytes)
        return path
      },
    })
  } finally {
    for (const folder of folders) await rm(folder, { recursive: true })
  }
}
