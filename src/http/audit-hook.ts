import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AuditEntry, AuditLog } from '../kernel/audit-log.ts'
import type { Clock } from '../kernel/time.ts'
import type { ApiKey } from '../store/store.ts'

/** What a request is known to be beside its line and headers. */
export type AuditNotes = {
  /** Which key pair has authenticated a request. */
  noteKey(request: FastifyRequest, key: ApiKey): void
}

/** Members of requests and answers that say what is changed; no other member is ever written. */
const TARGETS = new Set([
  'id',
  'fileId',
  'fileIds',
  'versionId',
  'deliveryId',
  'jobId',
  'requestId',
  'purgeRequestId',
  'filePath',
  'sourceFilePath',
  'newFileName',
  'folderPath',
  'folderName',
  'parentFolderPath',
  'sourceFolderPath',
  'newFolderName',
  'destinationPath',
])
const PURGE = '/v1/files/purge'
const MAX_TARGET_CHARACTERS = 1000
const MAX_TARGETS_LISTED = 100

/** Refusals of strangers that are noted in an interval, so that nobody can push the rest out of the files by them. */
const MAX_STRANGERS = 100
const STRANGERS_INTERVAL_MS = 60_000

/** Writes down who has changed what over the API, also what was refused; and, if asked for, who has read what. */
export function auditRequests(
  app: FastifyInstance,
  { audit, reads, clock }: { audit: AuditLog; reads: boolean; clock: Clock },
): AuditNotes {
  const keys = new WeakMap<FastifyRequest, ApiKey>()
  const answers = new WeakMap<FastifyRequest, object>()
  const strangers = { since: Number.NEGATIVE_INFINITY, count: 0 }

  const isNoted = (request: FastifyRequest) => {
    const { method } = request
    if (!/^\/(?:v1|api)\//.test(request.routeOptions.url ?? '') || method === 'OPTIONS') return false
    return reads || (method !== 'GET' && method !== 'HEAD')
  }

  app.addHook('preSerialization', (request, _reply, payload, done) => {
    if (isNoted(request) && typeof payload === 'object' && payload !== null) answers.set(request, payload)
    done(null, payload)
  })
  // When the answer goes out: the client may have left by then, and what it changed is changed.
  app.addHook('onSend', (request, reply, payload, done) => {
    if (isNoted(request)) note(request, reply)
    done(null, payload)
  })

  function note(request: FastifyRequest, reply: FastifyReply): void {
    const key = keys.get(request)
    const missed = key === undefined ? countStranger() : 0
    if (missed === undefined) return
    audit.write({
      source: 'api',
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url,
      targets: {
        ...targetsOf(request.params),
        ...targetsOf(request.body),
        ...(request.routeOptions.url === PURGE ? purgedUrlOf(request.body) : {}),
        ...targetsOf(answers.get(request)),
      },
      key: key === undefined ? null : { id: key.id, publicKey: key.publicKey },
      client: request.ip,
      status: reply.statusCode,
      outcome: outcomeOf(reply.statusCode),
      ...(missed === 0 ? {} : { refusalsNotNoted: missed }),
    })
  }

  /** @returns how many were not noted before this one, or undefined when this one is not to be noted either. */
  function countStranger(): number | undefined {
    const nowMs = clock.now()
    let missed = 0
    if (Math.abs(nowMs - strangers.since) >= STRANGERS_INTERVAL_MS) {
      missed = Math.max(0, strangers.count - MAX_STRANGERS)
      strangers.since = nowMs
      strangers.count = 0
    }
    strangers.count += 1
    return strangers.count > MAX_STRANGERS ? undefined : missed
  }

  return {
    noteKey: (request, key) => {
      keys.set(request, key)
    },
  }
}

function outcomeOf(status: number): AuditEntry['outcome'] {
  if (status >= 500) return 'failed'
  return status >= 400 ? 'refused' : 'done'
}

function targetsOf(members: unknown): Record<string, string | string[]> {
  const targets: Record<string, string | string[]> = {}
  if (typeof members !== 'object' || members === null || Array.isArray(members)) return targets
  const short = (text: string) => text.slice(0, MAX_TARGET_CHARACTERS)
  for (const [name, value] of Object.entries(members)) {
    if (!TARGETS.has(name)) continue
    if (typeof value === 'string') targets[name] = short(value)
    if (Array.isArray(value)) {
      const ids = value.filter((item) => typeof item === 'string')
      targets[name] = ids.slice(0, MAX_TARGETS_LISTED).map(short)
    }
  }
  return targets
}

/** What a purge is about. The query of a URL may hold a signature. */
function purgedUrlOf(body: unknown): Record<string, string> {
  const url = (body as { url?: unknown } | undefined | null)?.url
  if (typeof url !== 'string' || !URL.canParse(url)) return {}
  return { url: new URL(url).origin + new URL(url).pathname.slice(0, MAX_TARGET_CHARACTERS) }
}
