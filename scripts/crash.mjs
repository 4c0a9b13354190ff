// `npm run test:crash`: the long form of the crash test. Uploads under load, kill -9 at random instants, restart,
// and every acknowledged file has to be there byte for byte.
//
//   npm run test:crash                         50 crashes
//   npm run test:crash -- --crashes=500 --seed=7
//
// It starts its own servers on the loopback, with data in a temporary folder, and stops by itself.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { ensurePackages, findNode, root } from './bootstrap.mjs'

ensurePackages({ forTests: true })
const options = Object.fromEntries(process.argv.slice(2).map((arg) => arg.replace(/^--/, '').split('=')))
const result = spawnSync(
  findNode(),
  [join(root, 'node_modules/vitest/vitest.mjs'), 'run', 'test/acceptance/crash.test.ts'],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CRASHES: options.crashes ?? '50',
      CRASH_SEED: options.seed ?? String(Date.now() % 1_000_000),
    },
  },
)
process.exit(result.status ?? 1)
