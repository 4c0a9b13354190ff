import { notFound } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { FileVersion, Store, Tables, VersionChanges } from '../store/store.ts'
import { mergeMetadata } from './custom-metadata.ts'
import type { Events, Origin } from './events.ts'
import {
  aiTagsOf,
  type ExtensionRuns,
  type ExtensionStatus,
  extensionStatusOf,
  type TriedExtensions,
} from './extension-runs.ts'
import { checkFileId, FILE_MISSING, isId, lockFiles, unusedBlobs } from './held-files.ts'
import { TAGS_TOO_LONG, tagsAreTooLong } from './tags.ts'

/** What a request changes of a file; undefined leaves it as it is, null takes it away. */
export type FileUpdate = {
  /** Goes before everything else. */
  removeAiTags?: string[] | 'all'
  tags?: string[] | null
  /** `x,y,width,height`. */
  customCoordinates?: string | null
  /** Values by field; null takes a field's value away, fields that are not named keep theirs. */
  customMetadata?: Record<string, unknown>
  description?: string | null
  publish?: { isPublished: boolean; includeFileVersions: boolean }
  /** To be run on the current version; not checked yet. */
  extensions?: unknown
  /** Where their final status goes. */
  webhookUrl?: string | undefined
}

/** A bulk operation: all files are there, but some may not take the change. */
export type BulkResult = { fileIds: string[]; errors: { fileId: string; error: string }[] }

/** Blobs whose derivatives nobody may see any more. */
export type Withdrawn = { withdrawnBlobs: string[] }

export type FileEditor = {
  /**
   * Changes the current version of a file.
   * @throws TintypeError bad-request, not-found.
   */
  update(
    fileId: string,
    update: FileUpdate,
    origin: Origin,
  ): Promise<{ file: FileVersion; extensionStatus: Record<string, ExtensionStatus> | undefined } & Withdrawn>
  /** Deletes a file with all its versions. @throws TintypeError bad-request, not-found. */
  remove(fileId: string): Promise<Withdrawn>
  /**
   * Deletes files with all their versions: all, or none if one is not there.
   * @throws TintypeError not-found with `missingFileIds`.
   */
  removeAll(fileIds: string[]): Promise<{ fileIds: string[] } & Withdrawn>
  /** @throws TintypeError not-found with `missingFileIds`; then nothing is changed. */
  addTags(fileIds: string[], tags: string[], origin: Origin): Promise<BulkResult>
  removeTags(fileIds: string[], tags: string[], origin: Origin): Promise<BulkResult>
  removeAiTags(fileIds: string[], names: string[], origin: Origin): Promise<BulkResult>
}

export function createFileEditor(deps: {
  store: Store
  events: Events
  extensionRuns: ExtensionRuns
  ids: Ids
  clock: Clock
}): FileEditor {
  const { store, events, extensionRuns, ids, clock } = deps

  async function update(fileId: string, update: FileUpdate, origin: Origin) {
    checkFileId(fileId)
    const tried = await tryExtensions(fileId, update)
    const outbox = await events.open()
    return store.transaction(async (tx) => {
      const [file] = await lockFiles(tx, [fileId])
      if (!file) throw notFound(FILE_MISSING)
      // What was found out about another picture is not this one's.
      const extensions = tried && (tried.versionId === file.versionId ? tried : pendingAgain(tried))
      const extensionStatus = extensionStatusOf(extensions)
      const updatedAtMs = clock.now()
      const changes = await changesOf(tx, file, update, extensions)
      const updated =
        Object.keys(changes).length === 0
          ? file
          : await tx.files.updateVersion(file, { ...changes, updatedAtMs })
      if (updated !== file) await outbox.add(tx, { type: 'file.updated', file: updated, origin })
      if (extensions) await extensionRuns.enqueue(tx, extensions, updated, origin)
      if (!update.publish) return { file: updated, extensionStatus, withdrawnBlobs: [] }
      const { isPublished, includeFileVersions } = update.publish
      const affected = includeFileVersions ? await tx.files.versions(fileId) : [file]
      const others = affected.filter((version) => !version.isCurrent && version.isPublished !== isPublished)
      await Promise.all(
        others.map((version) =>
          tx.files.updateVersion(version, { ...publication(isPublished), updatedAtMs }),
        ),
      )
      const withdrawnBlobs = isPublished ? [] : affected.map((version) => version.blob)
      return { file: updated, extensionStatus, withdrawnBlobs }
    })
  }

  /** Tries what can be tried at once on the version that is the current one now. */
  async function tryExtensions(fileId: string, { extensions, webhookUrl }: FileUpdate) {
    const planned = await extensionRuns.plan({ extensions, webhookUrl })
    if (!planned) return undefined
    const file = await store.files.byId(fileId)
    if (!file) throw notFound(FILE_MISSING)
    return { ...(await extensionRuns.tryNow(planned, file)), versionId: file.versionId }
  }

  /** A version that is published or withdrawn is reached by another `ik-obj-version` (manual, draft assets). */
  const publication = (isPublished: boolean) => ({ isPublished, accessKey: ids.token(32) })

  async function changesOf(
    tx: Tables,
    file: FileVersion,
    update: FileUpdate,
    extensions: TriedExtensions | undefined,
  ): Promise<Omit<VersionChanges, 'updatedAtMs'>> {
    const changes: Omit<VersionChanges, 'updatedAtMs'> = {}
    if (update.removeAiTags !== undefined) {
      changes.aiTags = update.removeAiTags === 'all' ? null : withoutAiTags(file, update.removeAiTags)
    }
    if (extensions?.tried.some(({ result }) => result)) {
      changes.aiTags = aiTagsOf(changes.aiTags === undefined ? file.aiTags : changes.aiTags, extensions)
    }
    if (update.tags !== undefined) changes.tags = update.tags
    if (update.customCoordinates !== undefined) changes.customCoordinates = update.customCoordinates
    if (update.description !== undefined) changes.description = update.description
    if (update.customMetadata !== undefined) {
      changes.customMetadata = mergeMetadata(
        file.customMetadata,
        update.customMetadata,
        await tx.fields.list(),
      )
    }
    if (update.publish && update.publish.isPublished !== file.isPublished) {
      Object.assign(changes, publication(update.publish.isPublished))
    }
    return changes
  }

  /** The files of a bulk operation, held. @throws TintypeError not-found when one of them is not there. */
  async function lockAll(tx: Tables, fileIds: string[]): Promise<FileVersion[]> {
    const found = new Map((await lockFiles(tx, fileIds.filter(isId))).map((file) => [file.fileId, file]))
    const missingFileIds = fileIds.filter((fileId) => !found.has(fileId))
    if (missingFileIds.length > 0) {
      throw notFound('The requested file(s) does not exist.', { extra: { missingFileIds } })
    }
    return fileIds.map((fileId) => found.get(fileId)!)
  }

  async function remove(take: (tx: Tables) => Promise<string[]>) {
    const outbox = await events.open()
    const { fileIds, blobs } = await store.transaction(async (tx) => {
      const taken = await take(tx)
      const held = await tx.files.blobsOf(taken)
      await tx.files.remove(taken)
      await outbox.add(tx, ...taken.map((fileId) => ({ type: 'file.deleted' as const, fileId })))
      return { fileIds: taken, blobs: held }
    })
    return { fileIds, withdrawnBlobs: await unusedBlobs(store, blobs) }
  }

  /** Changes many files in one transaction; `change` gives undefined for a file that it leaves as it is. */
  async function changeAll(
    fileIds: string[],
    origin: Origin,
    change: (file: FileVersion) => Omit<VersionChanges, 'updatedAtMs'> | { error: string } | undefined,
  ): Promise<BulkResult> {
    const distinct = [...new Set(fileIds)]
    const outbox = await events.open()
    return store.transaction(async (tx) => {
      const result: BulkResult = { fileIds: [], errors: [] }
      const updatedAtMs = clock.now()
      const writes: Promise<FileVersion>[] = []
      for (const file of await lockAll(tx, distinct)) {
        const changes = change(file)
        if (changes && 'error' in changes) result.errors.push({ fileId: file.fileId, error: changes.error })
        else {
          result.fileIds.push(file.fileId)
          if (changes) writes.push(tx.files.updateVersion(file, { ...changes, updatedAtMs }))
        }
      }
      const changed = await Promise.all(writes)
      await outbox.add(tx, ...changed.map((file) => ({ type: 'file.updated' as const, file, origin })))
      return result
    })
  }

  return {
    update,
    remove(fileId) {
      checkFileId(fileId)
      return remove(async (tx) => {
        if ((await lockFiles(tx, [fileId])).length === 0) throw notFound(FILE_MISSING)
        return [fileId]
      })
    },
    removeAll: (fileIds) =>
      remove(async (tx) => (await lockAll(tx, [...new Set(fileIds)])).map((file) => file.fileId)),
    addTags: (fileIds, tags, origin) =>
      changeAll(fileIds, origin, (file) => {
        const all = [...new Set([...(file.tags ?? []), ...tags])]
        if (all.length === file.tags?.length) return undefined
        return tagsAreTooLong(all) ? { error: TAGS_TOO_LONG } : { tags: all }
      }),
    removeTags: (fileIds, tags, origin) =>
      changeAll(fileIds, origin, (file) => {
        const kept = (file.tags ?? []).filter((tag) => !tags.includes(tag))
        return kept.length === (file.tags?.length ?? 0) ? undefined : { tags: orNull(kept) }
      }),
    removeAiTags: (fileIds, names, origin) =>
      changeAll(fileIds, origin, (file) => {
        const aiTags = withoutAiTags(file, names)
        return (aiTags?.length ?? 0) === (file.aiTags?.length ?? 0) ? undefined : { aiTags }
      }),
  }
}

function pendingAgain(tried: TriedExtensions): TriedExtensions {
  const configs = tried.tried.map(({ config }) => ({ config, status: 'pending' as const }))
  return { ...tried, tried: configs }
}

function withoutAiTags(file: FileVersion, names: string[]) {
  return orNull((file.aiTags ?? []).filter((tag) => !names.includes(tag.name)))
}

/** No tags are null on the wire, as after an upload without tags. */
function orNull<T>(list: T[]): T[] | null {
  return list.length === 0 ? null : list
}
