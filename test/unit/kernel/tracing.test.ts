import { setTimeout as sleep } from 'node:timers/promises'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/kernel/log.ts'
import {
  createTracer,
  type Tracer,
  type TracingOptions,
  traced,
  tracingOptions,
} from '../../../src/kernel/tracing.ts'
import { type Service, startService } from '../../support/providers/service.ts'
import { spansOf } from '../../support/spans.ts'

let collector: Service
beforeEach(async () => {
  collector = await startService(() => ({ body: {} }))
})
afterEach(() => collector.close())

const create = (options: Partial<TracingOptions> = {}): Tracer =>
  createTracer(Value.Default(tracingOptions, { endpoint: collector.url, ...options }) as TracingOptions, {
    log: silentLog,
  })!
const request = (tracer: Tracer, traceparent?: string) =>
  tracer.begin('GET', {
    kind: 'server',
    traceparent,
    values: { 'url.path': '/a', count: 2, ratio: 0.5, ok: true },
  })

describe('a tracer', () => {
  it('is none without a collector', () => {
    expect(
      createTracer(Value.Default(tracingOptions, {}) as TracingOptions, { log: silentLog }),
    ).toBeUndefined()
  })

  it('sends spans as OTLP wants them, with their parts below them', async () => {
    const tracer = create({ authorization: 'Bearer x', serviceName: 'media' })
    const target = traced(
      {
        work: async (text: string) => `${text}!`,
        fail: async () => Promise.reject(new Error('no')),
        other: 1,
      },
      { prefix: 'thing', methods: ['work', 'fail'], tracer },
    )
    expect(await target.work('untraced')).toBe('untraced!')
    const span = request(tracer)
    await span.within(async () => {
      await sleep(5)
      expect(await target.work('a')).toBe('a!')
      await expect(target.fail()).rejects.toThrow('no')
      expect(target.other).toBe(1)
    })
    span.rename('GET /a')
    span.set('http.response.status_code', 200)
    span.end()
    span.end(new Error('too late'))
    await tracer.close()

    const [sent] = collector.requests
    expect(sent).toMatchObject({ method: 'POST', path: '/v1/traces' })
    expect(sent!.headers).toMatchObject({ 'content-type': 'application/json', authorization: 'Bearer x' })
    const { resource } = JSON.parse(sent!.body.toString()).resourceSpans[0]
    expect(resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'media' } })
    const spans = spansOf(collector)
    expect(spans.map(({ name }) => name)).toEqual(['thing work', 'thing fail', 'GET /a'])
    const [work, failed, whole] = spans
    expect(whole).toMatchObject({ kind: 2, traceId: expect.stringMatching(/^[0-9a-f]{32}$/) })
    expect(whole!.parentSpanId).toBeUndefined()
    expect(whole!.status).toBeUndefined()
    expect(whole!.attributes).toEqual([
      { key: 'url.path', value: { stringValue: '/a' } },
      { key: 'count', value: { intValue: '2' } },
      { key: 'ratio', value: { doubleValue: 0.5 } },
      { key: 'ok', value: { boolValue: true } },
      { key: 'http.response.status_code', value: { intValue: '200' } },
    ])
    for (const part of [work, failed]) {
      expect(part).toMatchObject({ kind: 1, traceId: whole!.traceId, parentSpanId: whole!.spanId })
    }
    expect(failed!.status).toEqual({ code: 2, message: 'no' })
    expect(BigInt(whole!.endTimeUnixNano) > BigInt(whole!.startTimeUnixNano)).toBe(true)
    expect(Math.abs(Number(BigInt(whole!.endTimeUnixNano) / 1_000_000n) - Date.now())).toBeLessThan(60_000)
  })

  it.each<[string, string | undefined, number]>([
    ['goes on with a trace of a client', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 1],
    ['keeps out of one that is not recorded', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', 0],
    ['begins one of its own after a broken header', '00-0af7651916cd43dd-01', 1],
    ['begins one of its own after an empty trace', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, 1],
  ])('%s', async (_, traceparent, count) => {
    const tracer = create()
    const span = request(tracer, traceparent)
    await span.within(() => tracer.span('part', async () => {}))
    span.end()
    await tracer.close()
    const spans = spansOf(collector)
    expect(spans).toHaveLength(2 * count)
    const isClients = traceparent?.includes('319c-b7ad6b7169203331-01') === true
    for (const { name, traceId, parentSpanId } of spans) {
      expect(traceId === '0af7651916cd43dd8448eb211c80319c').toBe(isClients)
      if (name === 'GET') expect(parentSpanId).toBe(isClients ? 'b7ad6b7169203331' : undefined)
    }
  })

  it('traces no more than it was told to', async () => {
    const tracer = create({ sampleRatio: 0 })
    request(tracer).end()
    await tracer.close()
    expect(collector.requests).toEqual([])
  })

  it('drops spans, and holds nothing up, when the collector does not take them', async () => {
    collector.fail({ status: 503 })
    const tracer = create({ flushMs: 20, maxWaitingSpans: 3 })
    for (let n = 0; n < 10; n += 1) request(tracer).end()
    await expect.poll(() => collector.requests.length).toBe(1)
    collector.fail()
    request(tracer).end()
    await tracer.close()
    const counts = collector.requests.map(
      ({ body }) => JSON.parse(body.toString()).resourceSpans[0].scopeSpans[0].spans.length,
    )
    expect(counts).toEqual([3, 1])
  })
})
