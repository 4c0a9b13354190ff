import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { createSchema, postgresUrl, whySkipped } from './postgres-place.ts'
import { searchSuite } from './search.suite.ts'

searchSuite(
  `search in PostgreSQL${whySkipped}`,
  async () => {
    const { databaseUrl, remove } = await createSchema()
    return {
      open: (changes) => {
        const options = Value.Default(storeOptions, { databaseUrl, connectTimeoutMs: 20_000, ...changes })
        return openStore(options as StoreOptions, { log: silentLog })
      },
      remove,
    }
  },
  !postgresUrl,
)
