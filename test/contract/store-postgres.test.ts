import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { createSchema, postgresUrl, whySkipped } from './postgres-place.ts'
import { storeSuite } from './store.suite.ts'

storeSuite(
  `store in PostgreSQL${whySkipped}`,
  async (changes) => {
    const { databaseUrl, remove } = await createSchema()
    const options = Value.Default(storeOptions, {
      databaseUrl,
      // A slow machine must not fail the races: here it is about who wins, not about when to give up.
      connectTimeoutMs: 20_000,
      ...changes,
    }) as StoreOptions
    return { open: () => openStore(options, { log: silentLog }), remove }
  },
  !postgresUrl,
)
