import type { ApiFacts } from './api-facts.ts'

/**
 * Everything in which two descriptions of an API differ, one line each, such as
 * `GET /v1/files: query tags: only here`.
 */
export function differencesOf(official: ApiFacts, own: ApiFacts): string[] {
  const lines: string[] = []
  const operations = [...new Set([...Object.keys(official), ...Object.keys(own)])].sort()
  for (const operation of operations) {
    const theirs = official[operation]
    const ours = own[operation]
    if (!theirs || !ours) {
      lines.push(`${operation}: ${theirs ? 'only there' : 'only here'}`)
      continue
    }
    const say = (what: string) => lines.push(`${operation}: ${what}`)
    compare(namesOf(theirs.parameters), namesOf(ours.parameters), say)
    compare(theirs.body, ours.body, (what) => say(`body ${what}`))
    const statuses = [...new Set([...Object.keys(theirs.responses), ...Object.keys(ours.responses)])].sort()
    for (const status of statuses) {
      const [their, our] = [theirs.responses[status], ours.responses[status]]
      if (!their || !our) say(`${status}: ${their ? 'only there' : 'only here'}`)
      else compare(their, our, (what) => say(`${status} ${what}`))
    }
  }
  return lines
}

function namesOf(parameters: string[]): Record<string, string> {
  return Object.fromEntries(
    parameters.map((text) => [text.replace(/!$/, ''), text.endsWith('!') ? 'required' : 'optional']),
  )
}

function compare(
  theirs: Record<string, string>,
  ours: Record<string, string>,
  say: (what: string) => void,
): void {
  for (const name of [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].sort()) {
    const [their, our] = [theirs[name], ours[name]]
    if (our === undefined) say(`${name}: only there`)
    else if (their === undefined) say(`${name}: only here`)
    else if (their !== our) say(`${name}: ${their} there, ${our} here`)
  }
}

/** Why a kind of difference is there: `match` is a regular expression over whole lines. */
export type Reason = { match: string; reason: string }

/** Differences by the first reason that fits; those without one, and reasons that fit nothing. */
export function explainDifferences(differences: string[], reasons: Reason[]) {
  const explained = new Map<Reason, string[]>(reasons.map((reason) => [reason, []]))
  const unexplained = differences.filter((line) => {
    const reason = reasons.find(({ match }) => new RegExp(`^(?:${match})$`).test(line))
    if (reason) explained.get(reason)!.push(line)
    return !reason
  })
  const unused = reasons.filter((reason) => explained.get(reason)!.length === 0)
  return { explained, unexplained, unused }
}
