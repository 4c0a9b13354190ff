/**
 * `node bench/tokens.ts`: what using a one-time token takes with none in the table and with ten million (trust J14), and
 * while those that have expired are swept.
 *
 *   node bench/tokens.ts                         writes bench/results/tokens.md
 *   node bench/tokens.ts --tokens=100000         fewer of them, a rough look; writes nothing
 *
 * PostgreSQL takes part when TINTYPE_TEST_POSTGRES_URL names one; timings are honest only with its fsync on.
 */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { sweepTokens } from '../src/library/library.ts'
import type { Store } from '../src/store/store.ts'
import { type Place, postgresPlace, sqlitePlace } from './places.ts'

const DEFAULT_TOKENS = 10_000_000
const tokens = Number(process.argv.find((arg) => arg.startsWith('--tokens='))?.slice(9) ?? DEFAULT_TOKENS)
/** A tenth of them has expired already. */
const EXPIRED_SHARE = 10
const TURNS = 3000
const NOW_MS = Date.now()
const HOUR_MS = 3_600_000

/** Statements that put tokens in, in the order of their keys, which is much faster and gives the same table. */
const FILL: Record<Place['engine'], string[]> = {
  sqlite: [
    'DROP INDEX used_tokens_expiry',
    `INSERT INTO used_tokens (key, expires_at)
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${tokens})
      SELECT lower(hex(randomblob(32))) AS key, CASE WHEN i % ${EXPIRED_SHARE} = 0 THEN ${NOW_MS - HOUR_MS} + i % ${HOUR_MS}
        ELSE ${NOW_MS + HOUR_MS} + i % ${HOUR_MS} END FROM n ORDER BY key`,
    'CREATE INDEX used_tokens_expiry ON used_tokens (expires_at)',
  ],
  postgres: [
    'DROP INDEX used_tokens_expiry',
    `INSERT INTO used_tokens (key, expires_at)
      SELECT encode(sha256(int8send(i)), 'hex') AS key, CASE WHEN i % ${EXPIRED_SHARE} = 0 THEN ${NOW_MS - HOUR_MS} + i % ${HOUR_MS}
        ELSE ${NOW_MS + HOUR_MS} + i % ${HOUR_MS} END FROM generate_series(1::bigint, ${tokens}) AS i ORDER BY key`,
    'CREATE INDEX used_tokens_expiry ON used_tokens (expires_at)',
    'ANALYZE used_tokens',
  ],
}

/** Uses a new token. @returns how long it took, in ms. */
async function use(store: Store): Promise<number> {
  const startMs = performance.now()
  const isFirst = await store.tokens.consume(randomBytes(32).toString('hex'), Date.now() + HOUR_MS)
  if (!isFirst) throw new Error('a token that nobody has used was refused')
  return performance.now() - startMs
}

const at = (times: number[], share: number) =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length * share)]!.toFixed(2)
const shown = (times: number[]) => `${at(times, 0.5)} / ${at(times, 0.99)}`

async function measure(open: () => Promise<Place>): Promise<string[]> {
  const [empty, full] = [await open(), await open()]
  // The tables are made when a store is first opened.
  await (await full.open()).close()
  console.error(`${full.name}: ${tokens.toLocaleString('en')} tokens are put in`)
  await full.run(FILL[full.engine])
  const [small, large] = [await empty.open(), await full.open()]
  try {
    const times: { small: number[]; large: number[]; swept: number[] } = { small: [], large: [], swept: [] }
    for (let turn = 0; turn < TURNS; turn += 1) {
      times.small.push(await use(small))
      times.large.push(await use(large))
    }
    let isSweeping = true
    const startMs = performance.now()
    const sweeping = sweepTokens(large, { nowMs: NOW_MS }).finally(() => {
      isSweeping = false
    })
    while (isSweeping) times.swept.push(await use(large))
    const swept = await sweeping
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
    if (swept !== Math.floor(tokens / EXPIRED_SHARE)) throw new Error(`${swept} tokens were swept`)
    const longest = Math.max(...times.swept).toFixed(0)
    return [
      full.name,
      shown(times.small),
      shown(times.large),
      shown(times.swept),
      longest,
      `${swept.toLocaleString('en')} in ${seconds} s`,
    ]
  } finally {
    await small.close()
    await large.close()
    await empty.remove()
    await full.remove()
  }
}

const rows = [await measure(async () => sqlitePlace())]
const databaseUrl = process.env.TINTYPE_TEST_POSTGRES_URL
if (databaseUrl) rows.push(await measure(() => postgresPlace(databaseUrl)))
const text = [
  '# One-time tokens',
  '',
  '<!-- Written by bench/tokens.ts; do not edit. -->',
  '',
  `What using a token takes, median / p99 in ms, with an empty table and with ${tokens.toLocaleString('en')} used tokens, in turns; ${new Date().toISOString().slice(0, 10)}.`,
  `${cpus().length} × ${cpus()[0]?.model.trim() || process.arch}, Node ${process.versions.node}, one client. \`node bench/tokens.ts\` measures it again.`,
  '',
  `| Store | empty | ${tokens.toLocaleString('en')} | while those expired are swept | longest of these, ms | swept |`,
  '| --- | ---: | ---: | ---: | ---: | ---: |',
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
].join('\n')
console.log(text)
if (tokens === DEFAULT_TOKENS) writeFileSync(join(import.meta.dirname, 'results/tokens.md'), text)
