import { badRequest } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'
import { parseTransformation } from '../transform/transform.ts'
import { type Collection, createCollection } from './collection.ts'

/** Names that delivery gives a meaning of its own. */
const RESERVED_NAMES = ['media_library_thumbnail', 'ik_ml_thumbnail']
const MAX_NAME_CHARACTERS = 100

/** Named transformations: `{ name, transformation, enabled }` (contract notes 1.8). */
export function createNamedTransformations(deps: { store: Store; ids: Ids; clock: Clock }): Collection {
  return createCollection(
    {
      kind: 'named-transformation',
      newId: () => deps.ids.token(9),
      limit: 250,
      limitMessage: 'You can create up to 250 named transformations.',
      missingMessage: 'The requested named transformation does not exist.',
      uniqueName: {
        of: (body) => body.name as string,
        takenMessage: 'A named transformation with this name already exists.',
      },
      parse(body, previous) {
        const { name, transformation, enabled = true } = { ...previous, ...definedOnly(body) }
        if (typeof name !== 'string' || !/^[A-Za-z0-9_]+$/.test(name) || name.length > MAX_NAME_CHARACTERS) {
          throw badRequest(
            `name is required and can contain only letters, digits and underscores, at most ${MAX_NAME_CHARACTERS}.`,
          )
        }
        if (RESERVED_NAMES.includes(name)) throw badRequest(`The name ${name} is reserved.`)
        if (typeof transformation !== 'string' || transformation.trim() === '') {
          throw badRequest('transformation is required and must be a string.')
        }
        // Older clients keep it with the prefix of the URL, newer without (contract notes 1.11).
        const text = transformation.trim().replace(/^tr:/, '')
        parseTransformation(text)
        if (typeof enabled !== 'boolean') throw badRequest('enabled must be a boolean.')
        return { name, transformation: text, enabled }
      },
    },
    deps,
  )
}

function definedOnly(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
}
