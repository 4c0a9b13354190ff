import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { type Service, startService } from '../support/providers/service.ts'
import { type SentSpan, spansOf } from '../support/spans.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let collector: Service
let tintype: TestTintype
beforeEach(async () => {
  collector = await startService(() => ({ body: {} }))
  tintype = await startTintype({
    env: { TINTYPE_TRACING_ENDPOINT: collector.url, TINTYPE_TRACING_FLUSH_MS: '50' },
  })
})
afterEach(async () => {
  await tintype.stop()
  await collector.close()
})

const valuesOf = ({ attributes }: SentSpan) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
/** Waits for the span of a name, and gives it with the names of its parts. */
async function traceOf(name: string): Promise<{ whole: SentSpan; parts: string[] }> {
  await expect.poll(() => spansOf(collector).map((span) => span.name), { timeout: 5000 }).toContain(name)
  const spans = spansOf(collector)
  const whole = spans.find((span) => span.name === name)!
  const parts = spans.filter(({ traceId, spanId }) => traceId === whole.traceId && spanId !== whole.spanId)
  return { whole, parts: parts.map((span) => span.name) }
}

describe('traces', () => {
  it('show what an upload, a delivery and a job consist of', async () => {
    await put(tintype, '/a.png', png(20, 20))
    const upload = await traceOf('POST /api/v1/files/upload')
    expect(upload.parts).toEqual(expect.arrayContaining(['blobs commit', 'store transaction']))
    expect(valuesOf(upload.whole)).toMatchObject({
      'http.request.method': 'POST',
      'url.path': '/api/v1/files/upload',
      'http.response.status_code': '200',
    })

    const trace = '0af7651916cd43dd8448eb211c80319c'
    const response = await fetch(`${tintype.url}/demo/tr:w-5,f-png/a.png?v=secret`, {
      headers: { traceparent: `00-${trace}-b7ad6b7169203331-01` },
    })
    await response.arrayBuffer()
    const ofTrace = () => spansOf(collector).filter(({ traceId }) => traceId === trace)
    await expect.poll(() => ofTrace().map(({ name }) => name), { timeout: 5000 }).toContain('GET /demo/*')
    expect(ofTrace().map(({ name }) => name)).toContain('image render')
    const delivery = spansOf(collector).find(({ parentSpanId }) => parentSpanId === 'b7ad6b7169203331')!
    expect(valuesOf(delivery)['tintype.request_id']).toBe(response.headers.get('x-request-id'))
    expect(JSON.stringify(spansOf(collector))).not.toContain('secret')

    const created = await call(tintype, 'POST', '/v1/folder', { folderName: 'f', parentFolderPath: '/' })
    expect(created.status).toBe(201)
    expect((await traceOf('POST /v1/folder')).parts).toContain('store transaction')

    const { requestId } = (
      await call(tintype, 'POST', '/v1/files/purge', { url: `${tintype.url}/demo/a.png` })
    ).body
    const job = await traceOf('job cache.purge')
    expect(valuesOf(job.whole)['job.id']).toBe(requestId)
    expect(job.whole.parentSpanId).toBeUndefined()
  })

  it('tell of answers that are errors of the server', async () => {
    await call(tintype, 'GET', '/v1/files/0123456789abcdef01234567/details')
    const { whole } = await traceOf('GET /v1/files/:fileId/details')
    expect(valuesOf(whole)['http.response.status_code']).toBe('404')
    expect(whole.status).toBeUndefined()
  })
})
