import { silentLog } from '../../../src/kernel/log.ts'
import { openStore, type StoreOptions } from '../../../src/store/store.ts'
import { upload } from '../../contract/uploads.ts'

/** Run as a process of its own: uploads `count` versions to one path, one after the other. */
const [options, count] = JSON.parse(process.argv[2]!) as [StoreOptions, number]
const store = await openStore(options, { log: silentLog })
for (let i = 0; i < count; i += 1) {
  await store.transaction((tx) => upload(tx, '/shared', 'one.jpg', { createdAtMs: process.pid }))
}
await store.close()
