import { sql } from 'kysely'
import { compile, type Engine, prepare } from './engine.ts'

/** A blob as the rows know it. */
export type BlobInUse = {
  sha256: string
  /** Smallest and largest size that a version says it has; they differ only in a damaged database. */
  sizeBytes: number
  largestBytes: number
  versions: number
}

/** A version that refers to a blob. */
export type BlobUser = { fileId: string; versionId: string; path: string; isCurrent: boolean }

/** What scrubbing, backups and migrations ask: blobs by their hash, page by page, whatever the size of the library. */
export type BlobRows = {
  /** Which of these blobs at least one version refers to. */
  referencedBlobs(sha256: string[]): Promise<Set<string>>
  /** The blobs that versions refer to, in order of their hash, from the one after `after` on. */
  blobsInUse(page: { after: string; limit: number }): Promise<BlobInUse[]>
  /** Some of the versions that refer to a blob. */
  blobUsers(sha256: string, limit: number): Promise<BlobUser[]>
}

/** Prepares the statements about blobs once. */
export function prepareBlobRows({ dialect, session }: Engine): BlobRows {
  const { db } = dialect
  const inUse = prepare<{ after: string; limit: number }>()((value) =>
    db
      .selectFrom('versions')
      .select((eb) => [
        'blob as sha256',
        eb.fn.min<number>('size_bytes').as('sizeBytes'),
        eb.fn.max<number>('size_bytes').as('largestBytes'),
        eb.fn.countAll<number>().as('versions'),
      ])
      .where('blob', '>', value('after'))
      .groupBy('blob')
      .orderBy('blob')
      .limit(value('limit')),
  )
  const users = prepare<{ sha256: string; limit: number }>()((value) =>
    db
      .selectFrom('versions')
      .innerJoin('folders', 'folders.seq', 'versions.folder_seq')
      .select([
        'versions.file_id as fileId',
        'versions.version_id as versionId',
        'versions.is_current as isCurrent',
        'versions.name as name',
        'folders.path as folderPath',
      ])
      .where('versions.blob', '=', value('sha256'))
      .orderBy('versions.is_current', 'desc')
      .orderBy('versions.seq')
      .limit(value('limit')),
  )

  return {
    async referencedBlobs(sha256) {
      const rows = await session.read(
        compile(
          db
            .selectFrom('versions')
            .select('blob')
            .distinct()
            .where(dialect.isAnyOf(sql.ref('blob'), sha256)),
        ),
      )
      return new Set(rows.map((row) => row.blob))
    },
    blobsInUse: (page) => session.read(inUse(page), 'heavy'),
    async blobUsers(sha256, limit) {
      const rows = await session.read(users({ sha256, limit }))
      return rows.map(({ fileId, versionId, isCurrent, name, folderPath }) => ({
        fileId,
        versionId,
        isCurrent: isCurrent === 1,
        path: folderPath === '/' ? `/${name}` : `${folderPath}/${name}`,
      }))
    },
  }
}
