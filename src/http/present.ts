import { joinPath } from '../kernel/paths.ts'
import type { LegacyMetadata, ResponseField } from '../library/library.ts'
import type { Field, FileVersion, Folder, ListedAsset } from '../store/store.ts'

/** Records to the wire shapes of the contract (contract notes 1.1 and 1.3). */
export type Presenter = {
  upload(
    file: FileVersion,
    options: {
      responseFields: ResponseField[]
      metadata: LegacyMetadata | undefined
      fields: Field[]
      /** By extension; undefined where none was asked for. */
      extensionStatus?: Record<string, string> | undefined
    },
  ): Record<string, unknown>
  file(file: FileVersion): Record<string, unknown>
  folder(folder: Folder): Record<string, unknown>
  asset(asset: ListedAsset): Record<string, unknown>
}

/** @param endpoint URL endpoint without a trailing slash, e.g. `http://localhost:8080/demo`. */
export function createPresenter(endpoint: string): Presenter {
  const urlOf = (file: FileVersion, transformation = '') =>
    endpoint + transformation + encodeURI(joinPath(file.folderPath, file.name))
  const versionInfo = (file: FileVersion) => ({ id: file.versionId, name: `Version ${file.number}` })

  const presenter: Presenter = {
    upload(file, { responseFields, metadata, fields, extensionStatus }) {
      const asked = (field: ResponseField) => responseFields.includes(field)
      return {
        fileId: file.fileId,
        name: file.name,
        size: file.sizeBytes,
        versionInfo: versionInfo(file),
        filePath: joinPath(file.folderPath, file.name),
        url: urlOf(file),
        fileType: file.fileType,
        ...sizeOf(file),
        ...(file.fileType === 'image'
          ? {
              orientation: file.orientation ?? 1,
              // The seeds' path form; details use the query form and the newer name of the same transformation.
              thumbnailUrl: urlOf(file, '/tr:n-media_library_thumbnail'),
            }
          : {}),
        ...streamFacts(file),
        // Always there: the seeds' examples show these four without a request for them (contract notes, top).
        tags: file.tags,
        AITags: file.aiTags,
        isPrivateFile: file.isPrivate,
        isPublished: file.isPublished,
        customCoordinates: file.customCoordinates,
        ...(file.description === null ? {} : { description: file.description }),
        ...(asked('customMetadata') ? { customMetadata: file.customMetadata } : {}),
        ...(asked('embeddedMetadata') ? { embeddedMetadata: file.embeddedMetadata } : {}),
        ...(metadata === undefined ? {} : { metadata }),
        ...(extensionStatus === undefined ? {} : { extensionStatus }),
        ...(asked('selectedFieldsSchema') ? { selectedFieldsSchema: presentFieldSchemas(fields) } : {}),
      }
    },

    file(file) {
      const version = file.isCurrent ? '' : `ik-obj-version=${file.accessKey}&`
      const stamped = `${urlOf(file)}?${version}updatedAt=${file.updatedAtMs}`
      return {
        type: file.isCurrent ? 'file' : 'file-version',
        name: file.name,
        createdAt: new Date(file.createdAtMs).toISOString(),
        updatedAt: new Date(file.updatedAtMs).toISOString(),
        fileId: file.fileId,
        tags: file.tags,
        AITags: file.aiTags,
        versionInfo: versionInfo(file),
        embeddedMetadata: file.embeddedMetadata,
        isPublished: file.isPublished,
        isPrivateFile: file.isPrivate,
        customCoordinates: file.customCoordinates,
        customMetadata: file.customMetadata,
        description: file.description,
        filePath: joinPath(file.folderPath, file.name),
        url: stamped,
        thumbnail: file.fileType === 'image' ? `${stamped}&tr=n-ik_ml_thumbnail` : null,
        fileType: file.fileType,
        mime: file.mime,
        ...sizeOf(file),
        size: file.sizeBytes,
        ...(file.fileType === 'image' ? { hasAlpha: file.hasAlpha ?? false } : {}),
        ...streamFacts(file),
      }
    },

    folder: (folder) => ({
      type: 'folder',
      folderId: folder.folderId,
      name: folder.name,
      folderPath: folder.path,
      customMetadata: folder.customMetadata,
      createdAt: new Date(folder.createdAtMs).toISOString(),
      updatedAt: new Date(folder.updatedAtMs).toISOString(),
    }),

    asset: (asset) => (asset.type === 'folder' ? presenter.folder(asset.folder) : presenter.file(asset.file)),
  }
  return presenter
}

function sizeOf(file: FileVersion) {
  return file.widthPx === null || file.heightPx === null ? {} : { height: file.heightPx, width: file.widthPx }
}

function streamFacts({ bitRate, durationSec, audioCodec, videoCodec }: FileVersion) {
  return {
    ...(bitRate === null ? {} : { bitRate }),
    ...(durationSec === null ? {} : { duration: durationSec }),
    ...(audioCodec === null ? {} : { audioCodec }),
    ...(videoCodec === null ? {} : { videoCodec }),
  }
}

const MAX_SELECT_OPTIONS = 100

/** `selectedFieldsSchema` of the OpenAPI: without path policies every field is selected. */
function presentFieldSchemas(fields: Field[]): Record<string, unknown> {
  return Object.fromEntries(
    fields.map(({ name, schema }) => {
      const options = schema.selectOptions
      if (options === undefined || options.length <= MAX_SELECT_OPTIONS) return [name, schema]
      const shown = options.slice(0, MAX_SELECT_OPTIONS)
      return [name, { ...schema, selectOptions: shown, selectOptionsTruncated: true }]
    }),
  )
}
