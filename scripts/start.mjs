// `npm start`: installs what is missing, then runs the server on a Node that can.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensurePackages, findNode, handOver, isNewEnough, root, strippedTypes } from './bootstrap.mjs'

ensurePackages({ forTests: false })
const main = join(root, 'src/main.ts')
if (isNewEnough(process.version)) {
  // In this very process, so that a supervisor's signals meet the server and no second Node keeps memory.
  await import(pathToFileURL(strippedTypes).href)
  process.argv[1] = main
  await import(pathToFileURL(main).href)
} else {
  handOver(findNode(), ['--import', pathToFileURL(strippedTypes).href, main, ...process.argv.slice(2)])
}
