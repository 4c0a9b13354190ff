// `npm start`: installs what is missing, then runs the server on a Node that can.
import { ensurePackages, runSources } from './bootstrap.mjs'

ensurePackages({ forTests: false })
await runSources('main.ts')
