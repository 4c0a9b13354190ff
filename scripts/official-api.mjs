// Extracts from the official OpenAPI description, and from the official SDK that is installed, the bare facts that our
// own routes are compared with: paths, parameters, members of bodies and answers with their types. No prose is kept.
//
//   node scripts/official-api.mjs OPENAPI.yml
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { factsOf } from '../test/support/api-facts.ts'
import { root } from './bootstrap.mjs'

const [description] = process.argv.slice(2)
if (description === undefined) {
  process.stderr.write('Usage: node scripts/official-api.mjs OPENAPI.yml\n')
  process.exit(2)
}
save('official-api.json', factsOf(parse(readFileSync(description, 'utf8'))))

const resources = join(root, 'node_modules/@imagekit/nodejs/resources')
const calls = globSync('**/*.mjs', { cwd: resources }).flatMap((file) =>
  [
    ...readFileSync(join(resources, file), 'utf8').matchAll(/_client\.(\w+)\((?:path )?[`'](\/[^`']*)[`']/g),
  ].map(([, method, path]) => `${method.toUpperCase()} ${path.replace(/\$\{\w+\}/g, '{}')}`),
)
save('official-sdk-paths.json', [...new Set(calls)].sort())

function save(name, facts) {
  writeFileSync(join(root, 'test/fixtures', name), `${JSON.stringify(facts, null, 1)}\n`)
}
