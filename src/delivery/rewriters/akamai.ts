import { numberAs, type QueryRules, rewriteQuery } from './query.ts'
import type { RawUrl, Rewritten } from './rewriters.ts'

/** What of Akamai's image manager is understood (manual, Akamai URL-rewriter). */
const RULES: QueryRules = {
  imwidth: numberAs('w', 1, 65_535),
  imheight: numberAs('h', 1, 65_535),
}

export function rewriteAkamai(url: RawUrl): Rewritten {
  return rewriteQuery(url, RULES)
}
