// `npm run audit`: holds the locked packages against the advisories of the registry. Ends with 1 when there is one that
// docs/dependencies.md does not explain. Where there is no answer it says so and ends with 0, or with 2 (`--strict`).
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './bootstrap.mjs'

/** The advisories that the page explains. @param {string} page */
export function explainedIn(page) {
  return [...page.matchAll(/^\| (GHSA-[0-9a-z-]+) \|/gm)].map((match) => String(match[1]))
}

/**
 * What an answer of `npm audit --json` says.
 * @param {string} text
 * @param {string[]} explained ids of advisories
 * @returns {{ checked: boolean, lines: string[], open: number }}
 */
export function judgeAudit(text, explained) {
  let answer
  try {
    answer = JSON.parse(text)
  } catch {
    answer = {}
  }
  if (typeof answer.vulnerabilities !== 'object' || answer.vulnerabilities === null) {
    const reason = answer.error?.summary || answer.message || 'the registry gave no answer'
    return { checked: false, lines: [`Nothing was checked: ${reason}`], open: 0 }
  }
  // A package is vulnerable by an advisory of its own or through another one, which is in the list itself.
  const advisories = new Map()
  for (const { name, via } of Object.values(answer.vulnerabilities)) {
    for (const cause of via) {
      if (typeof cause !== 'object') continue
      const id = /GHSA-[0-9a-z-]+/.exec(cause.url ?? '')?.[0] ?? String(cause.source)
      advisories.set(`${id} ${name}`, { id, name, severity: cause.severity, title: cause.title })
    }
  }
  const lines = []
  let open = 0
  for (const { id, name, severity, title } of advisories.values()) {
    const isExplained = explained.includes(id)
    if (!isExplained) open += 1
    lines.push(`${isExplained ? 'explained' : 'OPEN'}  ${severity}  ${name}  ${id}  ${title}`)
  }
  lines.push(`${advisories.size} advisories, ${open} without an explanation.`)
  return { checked: true, lines, open }
}

if (import.meta.main) {
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  const { stdout } = spawnSync('npm', ['audit', '--json'], { cwd: root, encoding: 'utf8', timeout: 60_000 })
  const { checked, lines, open } = judgeAudit(stdout ?? '', explainedIn(page))
  for (const line of lines) console.log(line)
  process.exitCode = open > 0 ? 1 : checked || !process.argv.includes('--strict') ? 0 : 2
}
