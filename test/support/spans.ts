import type { Service } from './providers/service.ts'

/** A span as OTLP sends it. */
export type SentSpan = {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: Record<string, unknown> }[]
  status?: { code: number; message: string }
}

/** All spans that a collector was sent, in the order of their ends. */
export function spansOf(collector: Service): SentSpan[] {
  return collector.requests.flatMap(({ body }) =>
    JSON.parse(body.toString('utf8')).resourceSpans.flatMap(
      (resource: { scopeSpans: { spans: SentSpan[] }[] }) =>
        resource.scopeSpans.flatMap(({ spans }) => spans),
    ),
  )
}
