import type { Ids } from '../kernel/ids.ts'
import type { JobKind } from '../kernel/job-kinds.ts'
import { joinPath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { FileVersion, Tables } from '../store/store.ts'

/**
 * Every event of the contract (OpenAPI, webhook events). The `video.` ones can be chosen already; nothing causes them
 * until videos are transformed.
 */
export const EVENT_TYPES = [
  'file.created',
  'file.updated',
  'file.deleted',
  'file-version.created',
  'file-version.deleted',
  'upload.pre-transform.success',
  'upload.pre-transform.error',
  'upload.post-transform.success',
  'upload.post-transform.error',
  'video.transformation.accepted',
  'video.transformation.ready',
  'video.transformation.error',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** Where a change came from: the URLs of an event are those that this client can reach. */
export type Origin = {
  /** URL endpoint without a trailing slash, e.g. `https://media.example.com/demo`. */
  endpoint: string
  requestId: string
}

/** An item of `transformation.post`. */
export type PostTransformation = {
  type: 'transformation' | 'gif-to-video' | 'thumbnail' | 'abs'
  value?: string
  protocol?: 'hls' | 'dash'
}

/** Why a transformation failed, in the words of the contract. */
export type TransformationFailure = 'encoding_failed' | 'download_failed' | 'internal_server_error'

/** Something that happened, with what its payload is made of. */
export type NewEvent =
  | { type: 'file.created' | 'file.updated' | 'file-version.created'; file: FileVersion; origin: Origin }
  | { type: 'file.deleted'; fileId: string }
  | { type: 'file-version.deleted'; fileId: string; versionId: string }
  | { type: 'upload.pre-transform.success'; file: FileVersion; transformation: string; origin: Origin }
  | {
      type: 'upload.pre-transform.error'
      folderPath: string
      name: string
      transformation: string
      reason: TransformationFailure
      origin: Origin
    }
  | {
      type: 'upload.post-transform.success'
      fileId: string
      name: string
      url: string
      transformation: PostTransformation
      requestId: string
    }
  | {
      type: 'upload.post-transform.error'
      fileId: string
      name: string
      folderPath: string
      url: string
      transformation: PostTransformation
      reason: TransformationFailure
      requestId: string
    }

/** Makes the wire shapes of files for one URL endpoint. */
export type FilePresenter = {
  file(file: FileVersion): Record<string, unknown>
  upload(file: FileVersion): Record<string, unknown>
}
export type PresentFor = (endpoint: string) => FilePresenter

/** An endpoint that gets events. */
export type Subscriber = { id: string; events: readonly (EventType | '*')[] }

/** What a webhook job is told. The body is kept as it is sent, so that all attempts send and sign the same bytes. */
export type WebhookPayload = {
  /** An endpoint, or a URL that a request named for its own callbacks. */
  to: { endpointId: string } | { url: string }
  eventId: string
  eventType: EventType | 'extension'
  body: string
}

/** Takes the events of one change, to be written in its transaction. */
export type Outbox = {
  /** Whether anybody wants to hear of it: what an event needs can be left unread otherwise. */
  wants(type: EventType): boolean
  /** Enqueues the deliveries of events, one job for each endpoint, in the order in which they are given. */
  add(tx: Tables, ...events: NewEvent[]): Promise<void>
  /** Enqueues a callback to a URL that a request named. */
  call(tx: Tables, url: string, body: Record<string, unknown>): Promise<void>
}

export type Events = {
  /** Call it before the transaction of the change, which nothing but the store may be asked in. */
  open(): Promise<Outbox>
}

const KIND: JobKind = 'webhook.deliver'
/** The target of callbacks to URLs of requests, for lists of deliveries. */
export const CALLBACKS = 'callbacks'

export function createEvents(deps: {
  subscribers: () => Promise<readonly Subscriber[]>
  present: PresentFor
  ids: Ids
  clock: Clock
}): Events {
  const { subscribers, present, ids, clock } = deps

  async function enqueue(
    tx: Tables,
    delivery: { payload: WebhookPayload; target: string; subject: string | null; nowMs: number },
  ): Promise<void> {
    const { payload, target, subject, nowMs } = delivery
    const jobId = ids.next()
    await Promise.all([
      tx.jobs.enqueue({ id: jobId, kind: KIND, payload, createdAtMs: nowMs }),
      tx.deliveries.add({ jobId, target, subject }),
    ])
  }

  return {
    async open() {
      const endpoints = await subscribers()
      const wants = (type: EventType) => endpoints.some((endpoint) => isWanted(type, endpoint))
      return {
        wants,
        async add(tx, ...events) {
          const enqueued = events.flatMap((event) => {
            const takers = endpoints.filter((endpoint) => isWanted(event.type, endpoint))
            if (takers.length === 0) return []
            const nowMs = clock.now()
            const eventId = ids.request()
            const { subject, request, data } = payloadOf(event, present)
            const body = JSON.stringify({
              type: event.type,
              id: eventId,
              created_at: new Date(nowMs).toISOString(),
              ...(request === undefined ? {} : { request }),
              data,
            })
            return takers.map(({ id }) =>
              enqueue(tx, {
                payload: { to: { endpointId: id }, eventId, eventType: event.type, body },
                target: id,
                subject,
                nowMs,
              }),
            )
          })
          await Promise.all(enqueued)
        },
        call: (tx, url, body) =>
          enqueue(tx, {
            payload: {
              to: { url },
              eventId: ids.request(),
              eventType: 'extension',
              body: JSON.stringify(body),
            },
            target: CALLBACKS,
            subject: null,
            nowMs: clock.now(),
          }),
      }
    },
  }
}

/** Whether an endpoint has chosen a type of event. */
function isWanted(type: EventType, { events }: Subscriber): boolean {
  return events.includes('*') || events.includes(type)
}

/**
 * What an event says (OpenAPI, webhook events).
 * @returns `subject`, the file whose events stay in order; null for one that is not part of the library.
 */
function payloadOf(
  event: NewEvent,
  present: PresentFor,
): { subject: string | null; request?: Record<string, unknown>; data: Record<string, unknown> } {
  switch (event.type) {
    case 'file.created':
    case 'file.updated':
    case 'file-version.created':
      return { subject: event.file.fileId, data: present(event.origin.endpoint).file(event.file) }
    case 'file.deleted':
      return { subject: event.fileId, data: { fileId: event.fileId } }
    case 'file-version.deleted':
      return { subject: event.fileId, data: { fileId: event.fileId, versionId: event.versionId } }
    case 'upload.pre-transform.success':
      return {
        subject: event.file.fileId,
        request: { x_request_id: event.origin.requestId, transformation: event.transformation },
        data: present(event.origin.endpoint).upload(event.file),
      }
    case 'upload.pre-transform.error':
      return {
        subject: null,
        request: { x_request_id: event.origin.requestId, transformation: event.transformation },
        data: {
          name: event.name,
          path: joinPath(event.folderPath, event.name),
          transformation: { error: { reason: event.reason } },
        },
      }
    case 'upload.post-transform.success':
      return {
        subject: event.fileId,
        request: { x_request_id: event.requestId, transformation: event.transformation },
        data: { fileId: event.fileId, url: event.url, name: event.name },
      }
    case 'upload.post-transform.error':
      return {
        subject: event.fileId,
        request: { x_request_id: event.requestId, transformation: event.transformation },
        data: {
          fileId: event.fileId,
          url: event.url,
          name: event.name,
          path: joinPath(event.folderPath, event.name),
          transformation: { error: { reason: event.reason } },
        },
      }
  }
}
