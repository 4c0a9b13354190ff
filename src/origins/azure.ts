import { type DriverDeps, encodePath, type OriginDocument, type OriginDriver, objectName } from './driver.ts'
import { openHttp } from './http-answer.ts'

/** A container of Azure Blob Storage, read with a shared access signature (`AZURE_BLOB`). */
export function createAzureBlob(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  const host = deps.services.azureUrl.replace('{account}', String(origin.accountName)).replace(/\/+$/, '')
  const token = String(origin.sasToken).replace(/^\?/, '')
  return {
    handles: ({ url }) => url === null,
    open(request) {
      const name = objectName(origin.prefix, request.path)
      return openHttp(
        {
          url: `${host}/${encodeURIComponent(String(origin.container))}/${encodePath(name)}?${token}`,
          privateHeader: 'x-ms-meta-isprivatefile',
          key: `origin:${origin.id}`,
        },
        request,
        deps,
      )
    },
  }
}
