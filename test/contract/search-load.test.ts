import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/kernel/log.ts'
import { openPostgres } from '../../src/store/dialects/postgres.ts'
import { openSqlite } from '../../src/store/dialects/sqlite.ts'
import type { Engine, Query } from '../../src/store/engine.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { engines, type Place } from './places.ts'

/** Statements that would run for a very long time, and one that takes none. */
const ENDLESS: Record<Engine['dialect']['engine'], Query> = {
  sqlite: {
    sql: 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE in_time()) SELECT max(i) FROM n',
    parameters: [],
  },
  postgres: { sql: 'SELECT pg_sleep(600)', parameters: [] },
}
const SHORT: Query<{ one: number }> = { sql: 'SELECT 1 AS one', parameters: [] }

describe.each(engines.filter(({ skip }) => !skip))('long searches on $name', ({ createPlace }) => {
  let place: Place
  let engine: Engine

  beforeEach(async () => {
    place = await createPlace()
  })
  afterEach(async () => {
    await engine.close()
    await place.remove()
  })

  const open = async (changes: Partial<StoreOptions>) => {
    const options = { ...place.options, ...changes }
    engine = options.databaseUrl
      ? await openPostgres({ ...options, databaseUrl: options.databaseUrl }, silentLog)
      : await openSqlite({ ...options, file: options.file! })
    const endless = ENDLESS[engine.dialect.engine]
    return () =>
      engine.session.read(endless, 'search').then(
        () => 'done',
        (error) => error,
      )
  }

  it('are ended after their time', async () => {
    const search = await open({ searchTimeoutMs: 200 })
    expect(await search()).toMatchObject({
      kind: 'timeout',
      message: expect.stringContaining('The search takes too long'),
    })
    expect(await engine.session.read(SHORT, 'search')).toStrictEqual([{ one: 1 }])
  })

  it('do not keep anything else from being answered', async () => {
    const search = await open({ searchTimeoutMs: 3000 })
    let ended = 0
    const searches = [search(), search()].map((each) =>
      each.then((outcome) => {
        ended += 1
        return outcome
      }),
    )
    // By now they are past the time that is given to quick ones.
    await sleep(300)
    for (const load of ['light', 'heavy', 'search'] as const) {
      expect(await engine.session.read(SHORT, load)).toStrictEqual([{ one: 1 }])
    }
    expect(await engine.transaction((tx) => tx.read(SHORT))).toStrictEqual([{ one: 1 }])
    expect(ended).toBe(0)
    const outcomes = await Promise.all(searches)
    expect(outcomes).toMatchObject([
      { kind: 'timeout' },
      { kind: expect.stringMatching('timeout|unavailable') },
    ])
  })

  it('are refused when too many are running', async () => {
    const search = await open({ searchTimeoutMs: 1000, searchPoolSize: 1, connectTimeoutMs: 300 })
    const outcomes = await Promise.all([search(), search(), search(), search()])
    const kinds = outcomes.map(({ kind }) => kind)
    expect(new Set(kinds)).toStrictEqual(new Set(['timeout', 'unavailable']))
  })
})
