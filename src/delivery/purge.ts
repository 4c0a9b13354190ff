import { TintypeError } from '../kernel/errors.ts'
import { splitFilePath } from '../kernel/paths.ts'
import { type Chain, parseTransformation, printTransformation } from '../transform/transform.ts'
import { type Address, parseAddress } from './address.ts'
import type { Context } from './context.ts'
import { sourceKey } from './render.ts'
import { endpointFor, type Site } from './site.ts'

export type PurgeRequest = {
  /** Path and query of a delivery URL below the endpoint: `/tr:w-200/a.jpg`. */
  target: string
  /** Whether everything that begins with the path is meant. */
  isPrefix: boolean
}

/**
 * Removes what is kept of a URL, or of all URLs that begin with it. A URL without a transformation means everything
 * that was made of the asset: path form and query form share their derivatives here, so nothing would be gained by
 * keeping some. Derivatives are kept by their source's hash, so this frees space and never changes an answer.
 * @returns the number of derivatives that went.
 */
export async function purgeUrls(
  request: PurgeRequest,
  context: Context & { current: Site },
  expand: (chain: Chain) => Promise<Chain>,
): Promise<number> {
  try {
    const keys = await keysOf(request, context, expand)
    return await remove(keys, context)
  } catch (error) {
    // Nothing was ever made for a URL that nobody can ask for.
    const isNoUrl = error instanceof TintypeError && ['bad-request', 'not-found'].includes(error.kind)
    if (isNoUrl) return 0
    throw error
  }
}

async function keysOf(
  request: PurgeRequest,
  context: Context & { current: Site },
  expand: (chain: Chain) => Promise<Chain>,
): Promise<string[]> {
  const target = context.current.byDefault.path + request.target
  const endpoint = endpointFor(target, context.current)
  const address = parseAddress(target, endpoint.path, endpoint.rewriter)
  const rawPath = request.target.split('?', 1)[0]!
  const { origins } = endpoint
  const copies =
    (await context.deps.origins?.purge({
      place: address.url ?? address.path.slice(1),
      isPrefix: request.isPrefix,
      origins,
    })) ?? []
  // The end of a query is no end of a transformation.
  const isWhole = request.isPrefix && request.target.includes('?')
  const chain =
    address.transformation === null || isWhole
      ? undefined
      : await expand(parseTransformation(address.transformation, { form: 'url' }))
  const path = rawPath.endsWith('/') ? `${address.path}/` : address.path
  const blobs = request.isPrefix ? await blobsUnder(path, context) : await blobsAt(address, context)
  return [...blobs, ...copies].map((blob) => sourceKey(blob, chain && printTransformation(chain)))
}

/** Removes what is kept of sources. @returns the number of derivatives that went. */
export function forget(blobs: string[], context: Context): Promise<number> {
  return remove(blobs, context)
}

async function remove(keys: string[], { derivatives, memory }: Context): Promise<number> {
  let count = 0
  for (const key of keys) {
    memory.delete(key)
    const removed = await derivatives.purge(key)
    for (const sha256 of removed) memory.delete(sha256)
    count += removed.length
  }
  return count
}

/** The source behind a URL, drafts too: whether it may be seen does not matter for throwing it away. */
async function blobsAt({ path, versionKey }: Address, { deps }: Context): Promise<string[]> {
  const { folderPath, name } = splitFilePath(path)
  const current = await deps.store.files.atPath(folderPath, name)
  const version =
    current && versionKey !== null ? await deps.store.files.byAccessKey(current.fileId, versionKey) : current
  return version ? [version.blob] : []
}

const BATCH = 500

/** The sources under a path that something is kept of: what is kept is less than what is in the library. */
async function blobsUnder(path: string, { deps, derivatives, memory }: Context): Promise<string[]> {
  const kept = [...new Set([...derivatives.sources(), ...memory.keys()])]
  const found: string[] = []
  for (let at = 0; at < kept.length; at += BATCH) {
    found.push(...(await deps.store.files.blobsUnder(path, kept.slice(at, at + BATCH))))
  }
  return found
}
