import { afterEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
afterEach(() => tintype.stop())

const read = async (authorization: string | null = tintype.authorization) => {
  const response = await fetch(`${tintype.url}/metrics`, {
    headers: authorization === null ? {} : { authorization },
  })
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
}

describe('GET /metrics', () => {
  const whySkipped = onlyAlone('each process counts its own requests')
  it.skipIf(isCluster)(
    `shows requests, renders, the cache and jobs in the format of Prometheus${whySkipped}`,
    async () => {
      tintype = await startTintype()
      await put(tintype, '/a.png', png(20, 20))
      for (let n = 0; n < 4; n++) await (await fetch(`${tintype.url}/demo/a.png?tr=w-5,f-png`)).arrayBuffer()
      await call(tintype, 'GET', '/v1/files')
      await tintype.store.jobs.enqueue({
        id: 'x',
        kind: 'nobody.runs',
        payload: {},
        createdAtMs: Date.now() - 5000,
      })
      const { status, type, text } = await read()
      expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
      for (const line of [
        'tintype_http_requests_total{route="upload",method="POST",status="200"} 1',
        'tintype_http_requests_total{route="delivery",method="GET",status="200"} 4',
        'tintype_http_requests_total{route="api",method="GET",status="200"} 1',
        'tintype_derivative_requests_total{cache="miss"} 1',
        'tintype_derivative_requests_total{cache="hit"} 3',
        'tintype_render_duration_seconds_count{result="done"} 1',
        'tintype_jobs{kind="nobody.runs",state="ready"} 1',
      ]) {
        expect(text.split('\n')).toContain(line)
      }
      const overdue = /^tintype_jobs_overdue_seconds\{kind="nobody.runs"\} ([\d.]+)$/m.exec(text)
      expect(Number(overdue?.[1])).toBeGreaterThanOrEqual(5)
      // Every line is a comment or a sample.
      for (const line of text.trimEnd().split('\n')) {
        expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? [\d.e+-]+)$/)
      }
    },
  )

  it('counts runs of jobs by how they ended', async () => {
    tintype = await startTintype()
    const id = (await call(tintype, 'POST', '/v1/files/purge', { url: `${tintype.url}/demo/some/where.png` }))
      .body.requestId
    await expect.poll(async () => (await tintype.store.jobs.byId(id))?.state, { timeout: 5000 }).toBe('done')
    await expect
      .poll(async () => (await read()).text, { timeout: 5000 })
      .toContain('tintype_job_duration_seconds_count{kind="cache.purge",outcome="done"} 1\n')
  })

  it('needs a key, unless it is opened or closed altogether', async () => {
    tintype = await startTintype()
    expect((await read(null)).status).toBe(401)
    await tintype.stop()
    tintype = await startTintype({ env: { TINTYPE_HTTP_METRICS: 'open' } })
    expect((await read(null)).status).toBe(200)
    await tintype.stop()
    tintype = await startTintype({ env: { TINTYPE_HTTP_METRICS: 'off' } })
    expect((await read()).status).toBe(404)
  })
})
