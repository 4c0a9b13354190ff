#!/usr/bin/env node
// `tintype …`: the command line, on a Node that can run it.
import { ensurePackages, runSources } from './bootstrap.mjs'

ensurePackages({ forTests: false })
await runSources('cli.ts')
