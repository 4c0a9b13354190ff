import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { searchSuite } from './search.suite.ts'

searchSuite('search in SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-search-'))
  return {
    open: (changes) => {
      const options = Value.Default(storeOptions, { file: join(folder, 'tintype.db'), ...changes })
      return openStore(options as StoreOptions, { log: silentLog })
    },
    remove: () => rm(folder, { recursive: true }),
  }
})
