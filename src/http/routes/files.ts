import type { FastifyInstance } from 'fastify'
import { badRequest } from '../../kernel/errors.ts'
import { normalizeFolderPath } from '../../kernel/paths.ts'
import type { AssetType, ListedAsset, ListOptions, Sort, SortKey } from '../../store/store.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

type Query = Record<string, string | string[] | undefined>

/** `GET /v1/files` and `GET /v1/files/{fileId}/details` (contract notes 1.3). */
export function registerFiles(app: FastifyInstance, deps: HttpDeps): void {
  const { account, library, presenterFor } = deps
  const textOf = createAssetTexts()

  app.get<{ Querystring: Query }>('/v1/files', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { assets, total, nextCursor } = await library.search(parseListQuery(request.query))
    // Beyond the contract, whose body is a bare array.
    reply.header('x-total-count', String(total.count))
    reply.header('x-total-count-relation', total.isExact ? 'eq' : 'gte')
    if (nextCursor !== undefined) reply.header('x-next-cursor', nextCursor)
    const { asset: present } = presenterFor(request)
    const texts = textOf(assets, { endpoint: deps.originFor(request).endpoint, present })
    return reply.type('application/json; charset=utf-8').send(`[${texts.join(',')}]`)
  })

  app.get<{ Params: { fileId: string } }>('/v1/files/:fileId/details', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    return presenterFor(request).file(await library.file(request.params.fileId))
  })
}

/**
 * Presents listed assets as JSON, those that the store gives time and again with the text that they had before. Texts
 * of what was given only once would be long-lived garbage, which costs more than they save.
 */
function createAssetTexts() {
  /** The text, or null for an asset that was given once. */
  let texts = new WeakMap<ListedAsset, string | null>()
  let lastEndpoint = ''
  return (
    assets: ListedAsset[],
    { endpoint, present }: { endpoint: string; present: (asset: ListedAsset) => unknown },
  ): string[] => {
    // The texts have URLs in them. Few servers are reached by two names at once.
    if (endpoint !== lastEndpoint) texts = new WeakMap()
    lastEndpoint = endpoint
    return assets.map((asset) => {
      const known = texts.get(asset)
      if (typeof known === 'string') return known
      const text = JSON.stringify(present(asset))
      texts.set(asset, known === undefined ? null : text)
      return text
    })
  }
}

const TYPES: AssetType[] = ['file', 'file-version', 'folder', 'all']
const SORT_KEYS: SortKey[] = ['NAME', 'CREATED', 'UPDATED', 'HEIGHT', 'WIDTH', 'SIZE', 'RELEVANCE']
const MAX_LIMIT = 1000

type ListQuery = ListOptions & { searchQuery?: string; cursor?: string }

/**
 * The query of a listing, checked. With a `searchQuery`, `type`, `tags` and `name` do not count; an empty one is none.
 * @throws TintypeError bad-request with the contract's messages.
 */
export function parseListQuery(query: Query): ListQuery {
  const value = (name: string) => {
    const raw = query[name]
    const last = Array.isArray(raw) ? raw.at(-1) : raw
    return last === '' ? undefined : last
  }
  const limit = wholeNumber(value('limit'), 'limit') ?? MAX_LIMIT
  const skip = wholeNumber(value('skip'), 'skip') ?? 0
  if (skip < 0) {
    throw badRequest(
      `The value of skip parameter should be greater than or equal to 0. Value sent is ${skip}.`,
    )
  }
  if (limit < 1) throw badRequest(`Minimum value of limit parameter is 1. Value sent is ${limit}.`)
  if (limit > MAX_LIMIT) {
    throw badRequest(`Maximum value of limit parameter is ${MAX_LIMIT}. Value sent is ${limit}.`)
  }
  const searchText = value('searchQuery')
  const searchQuery = searchText?.trim() === '' ? undefined : searchText
  const type = ((searchQuery === undefined && value('type')) || 'file') as AssetType
  if (!TYPES.includes(type)) {
    throw badRequest(
      'Your request contains invalid value for type parameter. Please provide one of the following: file, file-version, folder, all.',
    )
  }
  const fileType = value('fileType') ?? 'all'
  if (fileType !== 'all' && fileType !== 'image' && fileType !== 'non-image') {
    throw badRequest(
      'Your request contains invalid value for fileType parameter. Please provide one of the following: all, image, non-image.',
    )
  }
  const path = value('path')
  const tags = searchQuery === undefined ? value('tags') : undefined
  const name = searchQuery === undefined ? value('name') : undefined
  const cursor = value('cursor')
  return {
    type,
    sort: parseSort(value('sort') ?? 'ASC_CREATED'),
    limit,
    skip,
    ...(path === undefined ? {} : { folderPath: normalizeFolderPath(path) }),
    ...(fileType === 'all' ? {} : { fileType }),
    ...(tags === undefined ? {} : { tags: tags.split(',').map((tag) => tag.trim()) }),
    ...(name === undefined ? {} : { name: name.normalize('NFC') }),
    ...(searchQuery === undefined ? {} : { searchQuery }),
    ...(cursor === undefined ? {} : { cursor }),
  }
}

function parseSort(text: string): Sort {
  const [direction, key] = text.split('_', 2)
  if ((direction !== 'ASC' && direction !== 'DESC') || !SORT_KEYS.includes(key as SortKey)) {
    throw badRequest('Your request contains invalid value for sort parameters.')
  }
  return { key: key as SortKey, descending: direction === 'DESC' }
}

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^-?[0-9]{1,15}$/.test(text)) {
    throw badRequest(
      `Your request contains invalid value for ${name} parameter. It should be a whole number.`,
    )
  }
  return Number(text)
}
