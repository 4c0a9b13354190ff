import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, test } from 'vitest'
import { explainedIn, judgeAudit } from '../../scripts/audit.mjs'

const root = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

type LockEntry = {
  resolved?: string
  license?: string
  dev?: boolean
  hasInstallScript?: boolean
  integrity?: string
  /** It comes inside of another package, whose hash covers it. */
  inBundle?: boolean
}
const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
const lock = (JSON.parse(read('package-lock.json')) as { packages: Record<string, LockEntry> }).packages
const page = read('docs/dependencies.md')

/** The lines of a part of the page, by the name of the package, which may end in a star. */
function linesOf(part: string): Map<string, { why: string; licence: string; upkeep: string }> {
  const text = page.split(`## ${part}\n`)[1]!.split('\n## ')[0]!
  const rows = [...text.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)]
  const lines = new Map(
    rows.map(([, name, why, licence, upkeep]) => [name!, { why, licence, upkeep } as never]),
  )
  expect(lines.size, 'one line for a package').toBe(rows.length)
  return lines
}

describe.each([
  { part: 'What servers run', kinds: ['dependencies', 'optionalDependencies'] },
  { part: 'What development needs', kinds: ['devDependencies'] },
])('$part', ({ part, kinds }) => {
  const lines = linesOf(part)
  const names = kinds.flatMap((kind) => Object.keys(manifest[kind]!))
  const matches = (line: string, name: string) =>
    line.endsWith('*') ? name.startsWith(line.slice(0, -1)) : name === line
  const licenceOf = (name: string) => lock[`node_modules/${name}`]?.license

  test.each(names)('%s has a line with its licence', (name) => {
    const line = lines.get([...lines.keys()].find((candidate) => matches(candidate, name)) ?? '')
    expect(line, `${name} has no line in docs/dependencies.md`).toBeDefined()
    // Some packages name none in the registry; the page does.
    expect(line!.licence.split(', ')).toContain(licenceOf(name) ?? line!.licence)
  })

  it('has no line for what is not asked for', () => {
    const left = [...lines.keys()].filter((line) => !names.some((name) => matches(line, name)))
    expect(left).toEqual([])
  })
})

describe('the lock', () => {
  const packages = Object.entries(lock).filter(([path]) => path !== '')

  it('names no registry but the public one, and a hash for every package', () => {
    expect(packages.length).toBeGreaterThan(150)
    const elsewhere = packages.filter(
      ([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'),
    )
    expect(elsewhere).toEqual([])
    expect(
      packages.filter(([, { integrity, inBundle }]) => !inBundle && !integrity?.startsWith('sha512-')),
    ).toEqual([])
  })

  it('has nothing for servers that runs a script when it is installed', () => {
    const scripts = packages.filter(([, entry]) => entry.hasInstallScript && !entry.dev)
    expect(scripts).toEqual([])
  })

  it('has nothing for servers under a licence that would bind Tintype', () => {
    // libvips (LGPL) is a library beside sharp that anybody can replace; mediabunny (MPL) is unchanged.
    const allowed =
      /^(?:MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|MPL-2\.0|LGPL-3\.0(?:-or-later)?|OFL-1\.1|UFL-1\.0|SEE LICENSE IN README\.md AND LICENSE)$/
    const odd = packages
      .filter(([, { dev }]) => !dev)
      .filter(
        ([, { license = '' }]) =>
          !license.split(/ AND | OR /).every((each) => allowed.test(each)) && !allowed.test(license),
      )
    expect(odd.map(([path, { license }]) => `${path}: ${license}`)).toEqual([])
  })
})

describe('npm run audit', () => {
  const advisory = (id: string) => ({
    source: 1,
    name: 'a',
    title: 'Something bad',
    url: `https://github.com/advisories/${id}`,
    severity: 'high',
  })
  const answer = (vulnerabilities: object) => JSON.stringify({ auditReportVersion: 2, vulnerabilities })

  it('tells what is open from what is explained', () => {
    const text = answer({
      a: { name: 'a', via: [advisory('GHSA-aaaa-bbbb-cccc'), advisory('GHSA-dddd-eeee-ffff')] },
      b: { name: 'b', via: ['a'] },
    })
    const explained: string[] = explainedIn(
      '| GHSA-aaaa-bbbb-cccc | a | only in tests |\nGHSA-dddd-eeee-ffff',
    )
    expect(explained).toEqual(['GHSA-aaaa-bbbb-cccc'])
    expect(judgeAudit(text, explained)).toEqual({
      checked: true,
      open: 1,
      lines: [
        'explained  high  a  GHSA-aaaa-bbbb-cccc  Something bad',
        'OPEN  high  a  GHSA-dddd-eeee-ffff  Something bad',
        '2 advisories, 1 without an explanation.',
      ],
    })
    expect(judgeAudit(answer({}), [])).toMatchObject({ checked: true, open: 0 })
  })

  it.each(['', 'no JSON', '{}', '{"error":{"summary":"offline"}}', '{"message":"405 Method Not Allowed"}'])(
    'says that nothing was checked where there is no answer: %j',
    (text) => {
      const { checked, open, lines } = judgeAudit(text, [])
      expect({ checked, open }).toEqual({ checked: false, open: 0 })
      expect(lines[0]).toMatch(/^Nothing was checked: ./)
    },
  )
})
