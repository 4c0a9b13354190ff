// `npm run test:attack`: attacks on requests, access, network and content, as tables of cases with the rows of the
// threat table in their names, and fuzzing with a fixed seed.
//
//   npm run test:attack                      the short form, as `npm test` runs it
//   npm run test:attack -- --long            many more rounds of fuzzing, minutes of overload
//   npm run test:attack -- --long --seed 7   with another seed
//   npm run test:attack -- --soak 3600 load  memory under an hour of load
//   npm run test:attack -- network           only the files whose names begin so; options go to vitest
//
// It starts its own servers on the loopback, with data in temporary folders, and stops by itself. What needs a browser,
// strace or a network namespace is skipped, with the reason, where there is none; `npm test` installs them.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensurePackages, findNode, root } from './bootstrap.mjs'

ensurePackages({ forTests: true })
const args = process.argv.slice(2)
const isLong = take('--long') !== undefined
const seed = take('--seed', true) ?? (isLong ? String(Date.now() % 1_000_000) : '1')
const rounds = take('--rounds', true) ?? (isLong ? '20000' : '')
const soakSec = take('--soak', true)
const options = args.filter((arg) => arg.startsWith('-'))
const files = args.filter((arg) => !arg.startsWith('-')).map((arg) => `test/attack/${arg}`)
console.log(`seed ${seed}, ${rounds === '' ? 'short' : `${rounds} rounds of fuzzing`}`)
const result = spawnSync(
  findNode(),
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...(files.length > 0 ? files : ['test/attack/']),
    ...options,
    ...(isLong ? ['--testTimeout=3600000'] : []),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      TINTYPE_FUZZ_SEED: seed,
      ...(isLong ? { TINTYPE_ATTACK_LONG: '1' } : {}),
      ...(soakSec === undefined ? {} : { TINTYPE_ATTACK_SOAK_SEC: soakSec }),
      ...(rounds === '' ? {} : { TINTYPE_FUZZ_ROUNDS: rounds }),
    },
  },
)
process.exit(result.status ?? 1)

/** Takes an option, and the value behind it, out of the arguments. */
function take(name, hasValue = false) {
  const at = args.indexOf(name)
  if (at < 0) return undefined
  const [, value] = args.splice(at, hasValue ? 2 : 1)
  return hasValue ? value : ''
}
