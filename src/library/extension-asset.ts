import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Blobs } from '../blobs/blobs.ts'
import type { ExtensionAsset, MetadataField } from '../extensions/extensions.ts'
import type { Field, FileVersion } from '../store/store.ts'
import { parseTransformation, type Renderer } from '../transform/transform.ts'

/** Where the size of an image could not be read it counts as large. */
const UNKNOWN_SIDE_PX = 5000
const PREVIEW_QUALITY = 85

/** A stored file as extensions see it; nothing is read before it is asked for. */
export function assetOf(
  file: Pick<FileVersion, 'blob' | 'sizeBytes' | 'mime' | 'format' | 'fileType' | 'widthPx' | 'heightPx'>,
  fields: MetadataField[],
  deps: { blobs: Blobs; renderer: Pick<Renderer, 'render'>; tempDir: string },
): ExtensionAsset {
  const { blobs, renderer, tempDir } = deps
  return {
    fileType: file.fileType,
    mime: file.mime,
    sizeBytes: file.sizeBytes,
    fields,
    read: () => blobs.readAll(file.blob),
    preview: ({ maxSidePx }) =>
      blobs.withLocalFile(file.blob, async (path) => {
        const outputPath = join(tempDir, randomUUID())
        try {
          await renderer.render({
            source: {
              path,
              format: file.format,
              sizeBytes: file.sizeBytes,
              widthPx: file.widthPx ?? UNKNOWN_SIDE_PX,
              heightPx: file.heightPx ?? UNKNOWN_SIDE_PX,
            },
            sourceKey: file.blob,
            chain: parseTransformation(`w-${maxSidePx},h-${maxSidePx},c-at_max`),
            output: {
              format: 'jpg',
              quality: PREVIEW_QUALITY,
              lossless: false,
              progressive: false,
              keepColorProfile: false,
              keepMetadata: false,
              density: null,
            },
            outputPath,
          })
          return await readFile(outputPath)
        } finally {
          await rm(outputPath, { force: true })
        }
      }),
  }
}

/** Custom metadata fields as extensions see them. */
export function metadataFieldsOf(fields: Field[]): MetadataField[] {
  return fields.map(({ name, schema }) => ({
    name,
    type: schema.type,
    ...(schema.selectOptions && { selectOptions: schema.selectOptions }),
  }))
}
