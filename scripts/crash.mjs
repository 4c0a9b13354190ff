// `npm run test:crash`: the long form of the crash tests. Requests of all kinds under load, kill -9 at random
// instants, restart, and everything acknowledged has to be so; jobs whose workers are killed, and each has its effect;
// whole servers that are killed while 2,000 jobs of extensions, webhooks, derivatives and folders are at work; a folder
// of 10,000 files that is copied and moved meanwhile; random sequences of changes to folders.
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
const seed = options.seed ?? String(Date.now() % 1_000_000)
const result = spawnSync(
  findNode(),
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    'test/faults/kills.test.ts',
    'test/acceptance/sdk-folders.test.ts',
    'test/acceptance/jobs-crash.test.ts',
    'test/contract/jobs-crash.test.ts',
    'test/contract/folders-model.test.ts',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      FAULTS_KILLS: options.crashes ?? '50',
      FAULTS_SEED: seed,
      CRASHES: options.crashes ?? '50',
      CRASH_SEED: seed,
      CRASH_FILES: '217',
      FOLDER_FILES: '10000',
      FOLDER_RUNS: options.crashes ?? '50',
      FOLDER_SEED: seed,
    },
  },
)
process.exit(result.status ?? 1)
