#!/usr/bin/env node
// `tintype …`: the command line, on a Node that can run it.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensurePackages, findNode, handOver, isNewEnough, root, strippedTypes } from './bootstrap.mjs'

ensurePackages({ forTests: false })
const cli = join(root, 'src/cli.ts')
if (isNewEnough(process.version)) {
  await import(pathToFileURL(strippedTypes).href)
  process.argv[1] = cli
  await import(pathToFileURL(cli).href)
} else {
  handOver(findNode(), ['--import', pathToFileURL(strippedTypes).href, cli, ...process.argv.slice(2)])
}
