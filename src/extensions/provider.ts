import type { ExtensionConfig, ExtensionName } from './requests.ts'

/** A tag as a service gave it; `source` is the name of the extension (OpenAPI `AITag`). */
export type AiTag = {
  name: string
  /** 0 to 100. */
  confidence: number
  source: string
}

export type MetadataValue = string | number | boolean | (string | number | boolean)[]

/** What a task has to know of a custom metadata field. */
export type MetadataField = {
  name: string
  type: 'Text' | 'Textarea' | 'Number' | 'Date' | 'Boolean' | 'SingleSelect' | 'MultiSelect'
  selectOptions?: (string | number | boolean)[]
}

/** The file that an extension is run on. */
export type ExtensionAsset = {
  fileType: 'image' | 'non-image'
  /** As the bytes say, not as the client said. */
  mime: string
  sizeBytes: number
  read(): Promise<Buffer>
  /**
   * The image rendered upright, its longer side at most `maxSidePx`, as JPEG; used where the file itself is too large
   * for a service or of a format that it does not know.
   * @throws TintypeError of the renderer.
   */
  preview(options: { maxSidePx: number }): Promise<Buffer>
  /** The custom metadata fields that are defined now. */
  fields: MetadataField[]
}

/** What `ai-tasks` asks to change, after all tasks, in their order: a later task wins over an earlier one. */
export type AssetChanges = {
  addTags: string[]
  removeTags: string[]
  setMetadata: Record<string, MetadataValue>
  unsetMetadata: string[]
}

/** What an extension found out or made. Nothing of it has been applied to the file. */
export type ExtensionResult =
  | { kind: 'ai-tags'; tags: AiTag[] }
  | { kind: 'description'; description: string }
  | {
      kind: 'file'
      bytes: Buffer
      /** As the bytes say. */
      mime: 'image/png' | 'image/jpeg' | 'image/webp'
      /** Without a dot. */
      extension: 'png' | 'jpg' | 'webp'
    }
  | { kind: 'changes'; changes: AssetChanges }

/** A way to get extensions done, with settings that suffice for it. */
export type Provider = {
  /** For the log. */
  readonly id: string
  readonly serves: readonly ExtensionName[]
  /**
   * Runs one extension once; trying again is the caller's.
   * @throws TintypeError; whether another try makes sense is told by `retryOf`.
   */
  run(request: ExtensionConfig, asset: ExtensionAsset, signal: AbortSignal): Promise<ExtensionResult>
  close?(): Promise<void>
}
