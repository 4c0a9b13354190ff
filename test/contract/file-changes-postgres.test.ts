import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { fileChangesSuite } from './file-changes.suite.ts'
import { createSchema, postgresUrl, whySkipped } from './postgres-place.ts'

fileChangesSuite(
  `PostgreSQL${whySkipped}`,
  async () => {
    const { databaseUrl, remove } = await createSchema()
    const options = Value.Default(storeOptions, { databaseUrl, connectTimeoutMs: 20_000 }) as StoreOptions
    return { open: () => openStore(options, { log: silentLog }), remove }
  },
  !postgresUrl,
)
