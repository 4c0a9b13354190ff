import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../../src/kernel/ids.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { createNetworkPolicy } from '../../../src/kernel/network-policy.ts'
import { createSafeFetch, type SafeFetchOptions } from '../../../src/kernel/safe-fetch.ts'
import { createEvents, type Events } from '../../../src/library/events.ts'
import {
  createWebhooks,
  type WebhookOptions,
  type Webhooks,
  webhookOptions,
} from '../../../src/library/webhooks.ts'
import type { Job, RunningJob, Store } from '../../../src/store/store.ts'
import { engines, type Place } from '../../contract/places.ts'
import { drop, flood, hang, type Service, stall, startService } from '../../support/providers/service.ts'

const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 0, 1)

let place: Place
let store: Store
let receiver: Service
let clock: { nowMs: number; now: () => number }

beforeEach(async () => {
  place = await engines[0]!.createPlace()
  store = await place.open()
  receiver = await startService(() => ({ status: 200 }))
  clock = { nowMs: START_MS, now: () => clock.nowMs }
})
afterEach(async () => {
  await receiver.close()
  await store.close()
  await place.remove()
})

function open(
  options: Partial<WebhookOptions> = {},
  network: Partial<SafeFetchOptions> = { allowPrivateNetwork: true },
): { webhooks: Webhooks; events: Events } {
  const filled = Value.Default(webhookOptions, { timeoutMs: 300, ...options }) as WebhookOptions
  const fetchOptions = { failureFloorMs: 0, ...network }
  const webhooks = createWebhooks(filled, {
    ...{ store, ids: systemIds, clock, log: silentLog },
    safeFetch: createSafeFetch(fetchOptions),
    // What a name resolves to is known only when something is sent there.
    policy: createNetworkPolicy({
      ...{ allowPrivateNetwork: true, allowHosts: [], allowedLowPorts: [80, 443], deniedPorts: [] },
      maxUrlBytes: 8192,
    }),
  })
  const present = () => ({ file: () => ({}), upload: () => ({}) })
  return {
    webhooks,
    events: createEvents({ subscribers: webhooks.subscribers, present, ids: systemIds, clock }),
  }
}

const emit = async (events: Events, fileId = 'f') => {
  const outbox = await events.open()
  await store.transaction((tx) => outbox.add(tx, { type: 'file.deleted', fileId }))
}
const createEndpoint = (webhooks: Webhooks) => webhooks.create({ url: `${receiver.url}/hook` })

/** Claims the next job whenever it is due, as a worker does. */
async function claim(signal = new AbortController().signal): Promise<RunningJob> {
  const kind = 'webhook.deliver'
  const [job] = await store.jobs.claim({ kind, limit: 1, nowMs: clock.nowMs, leaseToken: 'token' })
  if (!job) throw new Error('nothing is due')
  let current: Job = job
  return {
    get job() {
      return current
    },
    signal,
    async step(work) {
      const progress = await store.transaction(async (tx) => {
        const reached = await work(tx)
        await tx.jobs.save({ id: job.id, leaseToken: 'token' }, reached)
        return reached
      })
      current = { ...current, progress }
    },
  }
}
const lease = ({ job }: RunningJob) => ({ id: job.id, leaseToken: 'token' })

describe('an attempt', () => {
  it.each([
    [{ status: 200 }, { kind: 'done' }],
    [{ status: 299 }, { kind: 'done' }],
    [
      { status: 301, headers: { location: 'http://127.0.0.1:1/' } },
      { kind: 'retry', reason: /301/ },
    ],
    [{ status: 400 }, { kind: 'retry', reason: /400/ }],
    [{ status: 410 }, { kind: 'give-up', reason: /410/ }],
    [{ status: 500 }, { kind: 'retry', reason: /500/ }],
    [
      { status: 503, headers: { 'retry-after': '7' } },
      { kind: 'retry', delayMs: 7000 },
    ],
    [
      { status: 429, headers: { 'retry-after': '9999999' } },
      { kind: 'retry', delayMs: 24 * HOUR_MS },
    ],
    // Sooner than it would be tried anyway.
    [
      { status: 503, headers: { 'retry-after': '1' } },
      { kind: 'retry', delayMs: undefined },
    ],
    [
      { status: 503, headers: { 'retry-after': 'soon' } },
      { kind: 'retry', delayMs: undefined },
    ],
    [drop, { kind: 'retry', reason: /connection-failed/ }],
    [hang, { kind: 'retry', reason: /headers-timeout/ }],
    // A status is an answer, whatever comes of the body.
    [stall, { kind: 'done' }],
    [flood, { kind: 'done' }],
  ])('that is answered with %j comes to %j', async (reply, expected) => {
    const { webhooks, events } = open()
    await createEndpoint(webhooks)
    receiver.fail(reply)
    await emit(events)
    const outcome = (await webhooks.deliver(await claim())) as Record<string, unknown>
    expect(receiver.requests).toHaveLength(1)
    expect(outcome.kind).toBe(expected.kind)
    if ('reason' in expected) expect(outcome.reason).toMatch(expected.reason!)
    if ('delayMs' in expected) expect(outcome.delayMs).toBe(expected.delayMs)
  })

  it('never goes where the network rules forbid, which only the name look-up may tell', async () => {
    const { webhooks, events } = open({}, { allowPrivateNetwork: false })
    await createEndpoint(webhooks)
    await emit(events)
    expect(await webhooks.deliver(await claim())).toMatchObject({
      kind: 'give-up',
      reason: expect.stringContaining('address-refused'),
    })
    expect(receiver.requests).toEqual([])
  })

  it('is kept with the delivery', async () => {
    const { webhooks, events } = open()
    const { id } = await createEndpoint(webhooks)
    receiver.fail({ status: 418 })
    await emit(events)
    await webhooks.deliver(await claim())
    const [job] = await webhooks.deliveries(id, { limit: 1 })
    expect(job?.progress).toMatchObject({
      atMs: START_MS,
      status: 418,
      error: 'The receiver answered with status 418.',
      durationMs: expect.any(Number),
    })
  })
})

describe('trying again', () => {
  it('ends after 24 hours', async () => {
    const { webhooks, events } = open()
    await createEndpoint(webhooks)
    receiver.fail({ status: 500 })
    await emit(events)
    for (const [hours, kind] of [
      [0, 'retry'],
      [12, 'retry'],
      [23.9, 'retry'],
      [24.1, 'give-up'],
    ] as const) {
      clock.nowMs = START_MS + hours * HOUR_MS
      const running = await claim()
      expect(await webhooks.deliver(running), `${hours} h`).toMatchObject({ kind })
      await store.jobs.retry(lease(running), { runAtMs: clock.nowMs, error: 'failed' })
    }
  })

  it('begins anew when somebody makes a dead delivery ready again', async () => {
    const { webhooks, events } = open()
    const { id } = await createEndpoint(webhooks)
    receiver.fail({ status: 500 })
    await emit(events)
    const running = await claim()
    await webhooks.deliver(running)
    await store.jobs.bury(lease(running), { nowMs: clock.nowMs, error: 'failed' })
    clock.nowMs = START_MS + 48 * HOUR_MS
    expect(await webhooks.replayFailed(id)).toBe(1)
    expect(await webhooks.deliver(await claim())).toMatchObject({ kind: 'retry' })
  })

  it('disables an endpoint that has taken nothing for five days, which ends what still waits', async () => {
    const { webhooks, events } = open()
    const { id } = await createEndpoint(webhooks)
    receiver.fail({ status: 500 })
    for (const [fileId, hours] of [
      ['a', 0],
      ['b', 119],
      ['c', 121],
    ] as const) {
      clock.nowMs = START_MS + hours * HOUR_MS
      await emit(events, fileId)
      await webhooks.deliver(await claim())
      expect((await webhooks.get(id)).isEnabled, fileId).toBe(hours < 120)
    }
    expect(await webhooks.get(id)).toMatchObject({
      failingSinceMs: START_MS,
      disabledReason: expect.stringContaining('2026-01-01T00:00:00.000Z'),
    })
    await emit(events, 'd')
    expect(await store.jobs.list({ state: 'ready', limit: 9 })).toEqual([])

    receiver.fail({ status: 200 })
    await webhooks.update(id, { enabled: true })
    expect(await webhooks.get(id)).toMatchObject({ failingSinceMs: null, disabledReason: null })
  })

  it('counts from the last success', async () => {
    const { webhooks, events } = open()
    const { id } = await createEndpoint(webhooks)
    for (const [status, hours] of [
      [500, 0],
      [200, 100],
      [500, 130],
      [500, 240],
    ] as const) {
      clock.nowMs = START_MS + hours * HOUR_MS
      receiver.fail({ status })
      await emit(events, String(hours))
      const running = await claim()
      await webhooks.deliver(running)
      await store.jobs.complete(lease(running), clock.nowMs)
    }
    expect(await webhooks.get(id)).toMatchObject({
      isEnabled: true,
      failingSinceMs: START_MS + 130 * HOUR_MS,
    })
  })
})

describe('a host', () => {
  it('that fails again and again is left alone, without spending attempts', async () => {
    const { webhooks, events } = open({ breakerFailures: 3 })
    await createEndpoint(webhooks)
    receiver.fail({ status: 500 })
    for (const fileId of ['a', 'b', 'c', 'd', 'e']) await emit(events, fileId)
    const outcomes = []
    for (let n = 0; n < 5; n++) outcomes.push((await webhooks.deliver(await claim())).kind)
    expect(outcomes).toEqual(['retry', 'retry', 'retry', 'postpone', 'postpone'])
    expect(receiver.requests).toHaveLength(3)
  })

  it('gets four at a time, and four more wait for them', async () => {
    const { webhooks, events } = open()
    await createEndpoint(webhooks)
    let inFlight = 0
    let most = 0
    receiver.fail((response) => {
      inFlight += 1
      most = Math.max(most, inFlight)
      setTimeout(() => {
        inFlight -= 1
        response.end()
      }, 40)
    })
    for (let n = 0; n < 12; n++) await emit(events, String(n))
    const running = []
    for (let n = 0; n < 12; n++) running.push(await claim())
    const outcomes = await Promise.all(running.map((each) => webhooks.deliver(each)))
    const kinds = outcomes.map((outcome) => outcome.kind).sort()
    expect(kinds).toEqual([...Array(8).fill('done'), ...Array(4).fill('postpone')])
    expect(most).toBe(4)
  })
})

describe('stopping', () => {
  it('breaks an attempt off, which then counts as none', async () => {
    const { webhooks, events } = open({ timeoutMs: 60_000 })
    await createEndpoint(webhooks)
    receiver.fail(hang)
    await emit(events)
    const stop = new AbortController()
    const attempt = webhooks.deliver(await claim(stop.signal))
    await expect.poll(() => receiver.requests.length).toBe(1)
    stop.abort(new Error('the process stops'))
    await expect(attempt).rejects.toThrow('the process stops')
  })
})

describe('the endpoint of the settings', () => {
  it('gets everything, signed with its secret, and cannot be changed over the API', async () => {
    const secret = 'whsec_c2VjcmV0IG9mIHRoZSBzZXR0aW5ncyBoZXJl'
    // Named by the operator, it may stand in the private network.
    const { webhooks, events } = open({ url: `${receiver.url}/all`, secret }, { allowPrivateNetwork: false })
    await emit(events)
    expect(await webhooks.deliver(await claim())).toEqual({ kind: 'done' })
    const [request] = receiver.requests
    expect(request?.path).toBe('/all')
    expect(request?.headers['x-ik-signature']).toMatch(/^t=\d{13},v1=[0-9a-f]{64}$/)
    expect(request?.headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/)
    expect(await webhooks.list()).toMatchObject([{ id: 'configured', events: ['*'] }])
    for (const change of [
      webhooks.update('configured', { enabled: false }),
      webhooks.remove('configured'),
      webhooks.rotateSecret('configured'),
    ]) {
      await expect(change).rejects.toMatchObject({ kind: 'bad-request' })
    }
  })

  it('needs a secret', () => {
    expect(() => open({ url: 'https://example.com/' })).toThrow('TINTYPE_WEBHOOK_SECRET')
  })
})
