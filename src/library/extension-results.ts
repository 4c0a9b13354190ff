import type { AiTag, ExtensionResult } from '../extensions/extensions.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { Inspection } from '../media/media.ts'
import type { FileVersion, NewVersion, Tables } from '../store/store.ts'
import { mergeMetadata } from './custom-metadata.ts'
import type { Origin, Outbox } from './events.ts'
import { TAGS_TOO_LONG, tagsAreTooLong } from './tags.ts'

/** A result as it waits to be applied; bytes are in the blobs. */
export type StoredResult =
  | Exclude<ExtensionResult, { kind: 'file' }>
  | { kind: 'file'; file: Omit<NewContent, 'embedded'> }

type NewContent = { blob: string; sizeBytes: number } & Inspection

const REPLACED = 'The file was replaced before the extension had finished.'

/** The version cannot take the result; the message is public. */
export class Unapplied extends Error {}

/** A result, the version that it was made of, and the one that is the file's current one. */
export type MadeResult = {
  version: FileVersion
  current: FileVersion
  result: StoredResult
  outbox: Outbox
  origin: Origin
}

export type ExtensionResults = {
  /**
   * Writes a result to the version that it was made of, whose file is held.
   * @returns the version as it is then, or the new one.
   * @throws Unapplied when the version cannot take it; TintypeError bad-request for metadata that does not fit.
   */
  write(tx: Tables, made: MadeResult): Promise<FileVersion>
}

export function createExtensionResults(
  options: { maxVersions: number },
  { ids, clock }: { ids: Ids; clock: Clock },
): ExtensionResults {
  async function write(tx: Tables, made: MadeResult): Promise<FileVersion> {
    const { version, current, result, outbox, origin } = made
    const updatedAtMs = clock.now()
    if (result.kind === 'file') {
      if (!version.isCurrent) throw new Unapplied(REPLACED)
      const { count, highest } = await tx.files.versionCount(version.fileId)
      if (count >= options.maxVersions) {
        throw new Unapplied(`A file can have a maximum of ${options.maxVersions} versions.`)
      }
      const added = replacement(current, result.file, { number: highest + 1, nowMs: updatedAtMs })
      await tx.files.addVersion(added)
      const file: FileVersion = { ...added, folderPath: current.folderPath, isCurrent: true }
      await outbox.add(tx, { type: 'file-version.created', file, origin })
      return file
    }
    const changes =
      result.kind === 'ai-tags'
        ? { aiTags: mergeAiTags(version.aiTags, result.tags) }
        : result.kind === 'description'
          ? { description: result.description }
          : await taskChanges(tx, version, result.changes)
    const file = await tx.files.updateVersion(version, { ...changes, updatedAtMs })
    if (file.isCurrent) await outbox.add(tx, { type: 'file.updated', file, origin })
    return file
  }

  /** The same file with other bytes. Coordinates of another picture mean nothing any more. */
  function replacement(
    current: FileVersion,
    content: Omit<NewContent, 'embedded'>,
    { number, nowMs }: { number: number; nowMs: number },
  ): NewVersion {
    const isSameSize = content.widthPx === current.widthPx && content.heightPx === current.heightPx
    const { folderPath: _, isCurrent: __, ...kept } = current
    return {
      ...kept,
      versionId: ids.next(),
      number,
      blob: content.blob,
      sizeBytes: content.sizeBytes,
      mime: content.mime,
      format: content.format,
      fileType: content.fileType,
      widthPx: content.widthPx ?? null,
      heightPx: content.heightPx ?? null,
      orientation: content.orientation ?? null,
      hasAlpha: content.hasAlpha ?? null,
      customCoordinates: isSameSize ? current.customCoordinates : null,
      accessKey: ids.token(32),
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    }
  }

  async function taskChanges(
    tx: Tables,
    version: FileVersion,
    changes: Extract<ExtensionResult, { kind: 'changes' }>['changes'],
  ) {
    const { addTags, removeTags, setMetadata, unsetMetadata } = changes
    const tags = [...new Set([...(version.tags ?? []), ...addTags])].filter(
      (tag) => !removeTags.includes(tag),
    )
    if (addTags.length > 0 && tagsAreTooLong(tags)) throw new Unapplied(TAGS_TOO_LONG)
    const values = new Map<string, unknown>(Object.entries(setMetadata))
    for (const name of unsetMetadata) values.set(name, null)
    const customMetadata =
      values.size === 0
        ? version.customMetadata
        : mergeMetadata(version.customMetadata, Object.fromEntries(values), await tx.fields.list())
    return { tags: tags.length === 0 ? null : tags, customMetadata }
  }

  return { write }
}

/** New tags beside the known ones: the same name from the same source is the same tag, with its new confidence. */
export function mergeAiTags(known: AiTag[] | null, added: AiTag[]): AiTag[] | null {
  const key = ({ source, name }: AiTag) => `${source}\n${name}`
  const tags = new Map((known ?? []).map((tag) => [key(tag), tag]))
  for (const tag of added) tags.set(key(tag), tag)
  return tags.size === 0 ? null : [...tags.values()]
}
