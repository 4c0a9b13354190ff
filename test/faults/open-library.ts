// A process that opens a library in SQLite, as often as it is told to, and says what came of it. Started by
// database.test.ts.
import { setTimeout as sleep } from 'node:timers/promises'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'

const [file, rounds, everyMs] = process.argv.slice(2)

async function openOnce(round: number) {
  const options = Value.Default(storeOptions, { file: `${file}-${round}` }) as StoreOptions
  const store = await openStore(options, { log: silentLog })
  await store.settings.set(`opened.${process.pid}`, round)
  await store.close()
}

for (let round = 0; round < Number(rounds); round += 1) {
  // At the same moment as its fellows.
  await sleep(Number(everyMs) - (Date.now() % Number(everyMs)))
  for (const { status, reason } of (await Promise.allSettled([
    openOnce(round),
    openOnce(round),
  ])) as PromiseRejectedResult[]) {
    if (status === 'rejected') process.stdout.write(`${reason.message} (${reason.cause})\n`)
  }
}
