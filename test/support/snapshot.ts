import { call } from './api.ts'

/**
 * Everything that the API shows of the library, so that a test can say that a refused request changed nothing.
 * @returns details of all files, folders and versions.
 */
export async function snapshot(tintype: { url: string; authorization: string }): Promise<unknown[]> {
  const pages = await Promise.all(
    ['all', 'file-version'].map((type) => call(tintype, 'GET', `/v1/files?type=${type}`)),
  )
  return pages.flatMap((page) => page.body as unknown[])
}
