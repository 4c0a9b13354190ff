import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { fileChangesSuite } from './file-changes.suite.ts'

fileChangesSuite('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-changes-'))
  const options = Value.Default(storeOptions, { file: join(folder, 'tintype.db') }) as StoreOptions
  return {
    open: () => openStore(options, { log: silentLog }),
    remove: () => rm(folder, { recursive: true }),
  }
})
