import { parseExtensionConfig } from '../extensions/extensions.ts'
import { badRequest } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'
import { type Collection, createCollection } from './collection.ts'

const MAX_TEXT_CHARACTERS = 1000

/** Saved extensions: `{ name, description, config }` (contract notes 1.7). */
export function createSavedExtensions(deps: { store: Store; ids: Ids; clock: Clock }): Collection {
  const collection = createCollection(
    {
      kind: 'saved-extension',
      newId: () => `ext_${deps.ids.token(12)}`,
      limit: 100,
      limitMessage: 'You can create a maximum of 100 saved extensions.',
      missingMessage: 'The requested saved extension does not exist.',
      parse(body, previous) {
        const { name, description, config } = { ...previous, ...body }
        for (const [member, value] of Object.entries({ name, description })) {
          if (typeof value !== 'string' || value === '' || value.length > MAX_TEXT_CHARACTERS) {
            throw badRequest(
              `${member} is required and must be a string of at most ${MAX_TEXT_CHARACTERS} characters.`,
            )
          }
        }
        return { name, description, config: parseExtensionConfig(config) }
      },
    },
    deps,
  )
  const checked = (id: string) => {
    if (!/^ext_[A-Za-z0-9]{1,40}$/.test(id)) throw badRequest('Invalid saved extension ID.')
    return id
  }
  return {
    ...collection,
    get: async (id) => collection.get(checked(id)),
    update: async (id, body) => collection.update(checked(id), body),
    remove: async (id) => collection.remove(checked(id)),
  }
}
