import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { storeSuite } from './store.suite.ts'

storeSuite('store in SQLite', async (changes) => {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-store-'))
  const options = Value.Default(storeOptions, {
    file: join(folder, 'tintype.db'),
    ...changes,
  }) as StoreOptions
  return {
    open: () => openStore(options, { log: silentLog }),
    remove: () => rm(folder, { recursive: true }),
  }
})
