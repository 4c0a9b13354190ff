import { expect, test } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { startTintype } from '../support/tintype.ts'

test('metrics tell of memory and of the event loop', async () => {
  const tintype = await startTintype()
  const response = await fetch(`${tintype.url}/metrics`, {
    headers: { authorization: tintype.authorization },
  })
  const text = await response.text()
  expect(Number(/^tintype_process_resident_bytes (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(1_000_000)
  expect(text).toMatch(/^tintype_event_loop_delay_seconds\{quantile="0\.99"\} [0-9.e-]+$/m)
  await tintype.stop()
})

test.skipIf(!postgresUrl)(`metrics tell of the connections to PostgreSQL${whySkipped}`, async () => {
  const schema = await createSchema()
  const tintype = await startTintype({ env: { TINTYPE_DATABASE_URL: schema.databaseUrl } })
  const response = await fetch(`${tintype.url}/metrics`, {
    headers: { authorization: tintype.authorization },
  })
  const text = await response.text()
  for (const pool of ['transactions', 'reads', 'searches']) {
    expect(text).toMatch(
      new RegExp(`^tintype_database_connections\\{pool="${pool}",state="awaited"\\} 0$`, 'm'),
    )
  }
  await tintype.stop()
  await schema.remove()
})
