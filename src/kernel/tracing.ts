import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { type Static, Type } from 'typebox'
import type { Log } from './log.ts'
import { readVersion } from './version.ts'

/** Traces for a collector that speaks OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp, 1.x). */
export const tracingOptions = Type.Object({
  endpoint: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description:
        'OpenTelemetry collector that traces are sent to (OTLP over HTTP), e.g. http://collector:4318. Absent: none are made.',
    }),
  ),
  authorization: Type.Optional(
    Type.String({ description: 'Authorization header for the collector. Secret.' }),
  ),
  serviceName: Type.String({ default: 'tintype', description: 'Name of the service in traces.' }),
  sampleRatio: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 1,
    description:
      'Share of the requests and jobs that are traced. A request whose traceparent header says so is always traced, or never.',
  }),
  maxWaitingSpans: Type.Integer({
    default: 4096,
    minimum: 1,
    description: 'Spans that wait for the collector; more are dropped. Protects memory.',
  }),
  flushMs: Type.Integer({ default: 2000, minimum: 10, description: 'How often spans are sent.' }),
  timeoutMs: Type.Integer({
    default: 10_000,
    minimum: 1,
    description: 'How long the collector may take to answer; spans it did not take are dropped.',
  }),
})
export type TracingOptions = Static<typeof tracingOptions>

export type SpanKind = 'internal' | 'server' | 'client' | 'consumer'
export type SpanValue = string | number | boolean

/** Something that takes time. */
export type Span = {
  set(name: string, value: SpanValue): void
  /** Names it better than could be done when it began. */
  rename(name: string): void
  /** Ends it; later calls change nothing. @param error what it failed with, if it did. */
  end(error?: unknown): void
  /** Runs `work` so that spans which begin in it become parts of this one. */
  within<T>(work: () => T): T
}

export type Tracer = {
  /**
   * Begins a trace, or the part of it that is ours.
   * @param options.traceparent header of a client (w3.org/TR/trace-context).
   */
  begin(
    name: string,
    options: { kind: SpanKind; traceparent?: string | undefined; values: Record<string, SpanValue> },
  ): Span
  /** A span around a piece of what is traced now; none where nothing is. */
  span<T>(name: string, work: () => Promise<T>): Promise<T>
  /** Sends what waits. */
  close(): Promise<void>
}

/** Numbers of the protocol. */
const KINDS: Record<SpanKind, number> = { internal: 1, server: 2, client: 3, consumer: 5 }
const STATUS_ERROR = 2
const MAX_BATCH = 512
const MAX_TEXT = 1000
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

type Context = { traceId: string; spanId: string; isSampled: boolean }
type Finished = Record<string, unknown>

/** @returns undefined where no collector is named: nothing is traced then, and nothing costs anything. */
export function createTracer(options: TracingOptions, deps: { log: Log }): Tracer | undefined {
  const { endpoint } = options
  if (endpoint === undefined) return undefined
  const running = new AsyncLocalStorage<Context>()
  const sender = createSender({ ...options, endpoint }, deps)

  function start(
    firstName: string,
    {
      kind,
      parent,
      values,
    }: { kind: SpanKind; parent: Context | undefined; values: Record<string, SpanValue> },
  ): Span {
    const own = {
      traceId: parent?.traceId ?? randomBytes(16).toString('hex'),
      spanId: randomBytes(8).toString('hex'),
      isSampled: parent?.isSampled ?? Math.random() < options.sampleRatio,
    }
    const startNs = nowNs()
    const known = new Map<string, SpanValue>(Object.entries(values))
    let name = firstName
    let hasEnded = !own.isSampled
    return {
      set: (key, value) => void known.set(key, value),
      rename(better) {
        name = better
      },
      within: (work) => running.run(own, work),
      end(error) {
        if (hasEnded) return
        hasEnded = true
        sender.add({
          traceId: own.traceId,
          spanId: own.spanId,
          ...(parent ? { parentSpanId: parent.spanId } : {}),
          name,
          kind: KINDS[kind],
          startTimeUnixNano: startNs,
          endTimeUnixNano: nowNs(),
          attributes: [...known].map(([key, value]) => ({ key, value: wireValue(value) })),
          ...(error === undefined
            ? {}
            : {
                status: { code: STATUS_ERROR, message: String((error as Error)?.message).slice(0, MAX_TEXT) },
              }),
        })
      },
    }
  }

  return {
    begin: (name, { kind, traceparent, values }) =>
      start(name, { kind, values, parent: readTraceparent(traceparent) }),
    async span(name, work) {
      const parent = running.getStore()
      if (!parent?.isSampled) return work()
      const span = start(name, { kind: 'internal', parent, values: {} })
      try {
        const result = await span.within(work)
        span.end()
        return result
      } catch (error) {
        span.end(error ?? 'failed')
        throw error
      }
    },
    close: sender.close,
  }
}

/** The same object, with a span around each call of the named methods, which give promises. */
export function traced<T extends object>(
  target: T,
  { prefix, methods, tracer }: { prefix: string; methods: (keyof T & string)[]; tracer: Tracer | undefined },
): T {
  if (!tracer) return target
  const wrapped = new Map<PropertyKey, unknown>(
    methods.map((name) => {
      const method = target[name] as (...args: unknown[]) => Promise<unknown>
      return [
        name,
        (...args: unknown[]) => tracer.span(`${prefix} ${name}`, () => method.apply(target, args)),
      ]
    }),
  )
  return new Proxy(target, {
    get: (object, name) => wrapped.get(name) ?? Reflect.get(object, name),
  })
}

/** Sends spans in batches; what the collector does not take is lost, since nothing here may wait for it. */
function createSender(options: TracingOptions & { endpoint: string }, { log }: { log: Log }) {
  const url = `${options.endpoint.replace(/\/+$/, '')}/v1/traces`
  const version = readVersion()
  const resource = {
    attributes: Object.entries({
      'service.name': options.serviceName,
      'service.version': version,
      'service.instance.id': randomBytes(8).toString('hex'),
    }).map(([key, value]) => ({ key, value: wireValue(value) })),
  }
  let waiting: Finished[] = []
  let sending: Promise<void> = Promise.resolve()
  let isFailing = false

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const spans = waiting.slice(0, MAX_BATCH)
      waiting = waiting.slice(MAX_BATCH)
      const scopeSpans = [{ scope: { name: 'tintype', version }, spans }]
      const response = await fetch(url, {
        method: 'POST',
        // The operator has named this place and no other.
        redirect: 'error',
        headers: {
          'content-type': 'application/json',
          ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
        },
        body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] }),
        signal: AbortSignal.timeout(options.timeoutMs),
      })
      await response.arrayBuffer()
      if (!response.ok) throw new Error(`the collector answered ${response.status}`)
      isFailing = false
    }
  }
  const flush = () => {
    sending = sending.then(send).catch((error: unknown) => {
      if (!isFailing) log.warn({ err: error }, 'traces cannot be sent at the moment')
      isFailing = true
    })
    return sending
  }
  const timer = setInterval(flush, options.flushMs)
  timer.unref()

  return {
    add(span: Finished): void {
      if (waiting.length < options.maxWaitingSpans) waiting.push(span)
    },
    async close(): Promise<void> {
      clearInterval(timer)
      await flush()
    },
  }
}

function readTraceparent(header: string | undefined): Context | undefined {
  const match = header === undefined ? null : TRACEPARENT.exec(header)
  if (!match || header!.startsWith('ff') || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined
  return { traceId: match[1]!, spanId: match[2]!, isSampled: (Number.parseInt(match[3]!, 16) & 1) === 1 }
}

function nowNs(): string {
  return String(BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n)
}

function wireValue(value: SpanValue): object {
  if (typeof value === 'string') return { stringValue: value.slice(0, MAX_TEXT) }
  if (typeof value === 'boolean') return { boolValue: value }
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
}
