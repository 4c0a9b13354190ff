import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobOutcome } from '../../src/kernel/job-kinds.ts'
import type { Job, RunningJob } from '../../src/store/store.ts'
import { call } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startModelServer } from '../support/providers/model-server.ts'
import { type Service, startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

/**
 * What a crash between a job's last step and its end leaves behind: the job is begun again with everything done
 * already. The jobs are run by hand here, since no kill would hit this moment every time.
 */
let tintype: TestTintype
let models: Service
let receiver: Service

beforeEach(async () => {
  models = await startModelServer({ description: { description: 'Once.' } })
  receiver = await startService(() => ({ status: 200 }))
  tintype = await startTintype({
    env: {
      TINTYPE_WORKER_ENABLED: 'false',
      TINTYPE_AI_HTTP_URL: models.url,
      TINTYPE_EXTENSIONS_MAX_TRIES: '1',
    },
  })
})
afterEach(async () => {
  await tintype.stop()
  await models.close()
  await receiver.close()
})

async function claim(kind: string): Promise<RunningJob> {
  const { store } = tintype
  const [job] = await store.jobs.claim({ kind, limit: 1, nowMs: Date.now(), leaseToken: 'token' })
  if (!job) throw new Error(`no job of the kind ${kind}`)
  let current: Job = job
  return {
    get job() {
      return current
    },
    signal: new AbortController().signal,
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

/** Runs a job, and once more as after a crash. */
async function runTwice(kind: string, run: (running: RunningJob) => Promise<JobOutcome>) {
  const first = await claim(kind)
  const outcome = await run(first)
  await tintype.store.jobs.retry(
    { id: first.job.id, leaseToken: 'token' },
    { runAtMs: Date.now(), error: 'The process ended.' },
  )
  return [outcome, await run(await claim(kind))]
}

const kinds = async () => (await tintype.store.jobs.list({ limit: 20 })).map((job) => job.kind).sort()
const describeIt = () =>
  upload(tintype, png(3, 3), {
    fileName: 'a.png',
    extensions: '[{"name":"ai-auto-description"}]',
    webhookUrl: `${receiver.url}/done`,
  })

describe('a job that is begun again after its last step', () => {
  it('asks no service again and tells nobody twice, when the extension had succeeded', async () => {
    await describeIt()
    const outcomes = await runTwice('extension.run', tintype.library.extensionRuns.run)
    expect(outcomes).toEqual([{ kind: 'done' }, { kind: 'done' }])
    expect(models.requests).toHaveLength(1)
    expect(await kinds()).toEqual(['extension.run', 'webhook.deliver'])
  })

  it('nor when it had failed', async () => {
    models.fail({ status: 400 })
    await describeIt()
    const [first, second] = await runTwice('extension.run', tintype.library.extensionRuns.run)
    expect(first).toMatchObject({ kind: 'give-up' })
    expect(second).toEqual(first)
    expect(models.requests).toHaveLength(1)
    expect(await kinds()).toEqual(['extension.run', 'webhook.deliver'])
  })

  it('begins anew when somebody has made it ready again', async () => {
    models.fail({ status: 400 })
    await describeIt()
    const running = await claim('extension.run')
    await tintype.library.extensionRuns.run(running)
    await tintype.store.jobs.bury(
      { id: running.job.id, leaseToken: 'token' },
      { nowMs: Date.now(), error: 'failed' },
    )
    models.fail()
    await tintype.store.jobs.requeue({ kind: 'extension.run', nowMs: Date.now() })
    expect(await tintype.library.extensionRuns.run(await claim('extension.run'))).toEqual({ kind: 'done' })
    expect(models.requests).toHaveLength(2)
  })

  it('sends no webhook again', async () => {
    await call(tintype, 'POST', '/v1/webhooks', { url: receiver.url })
    await upload(tintype, png(3, 3), { fileName: 'a.png' })
    const outcomes = await runTwice('webhook.deliver', tintype.library.webhooks.deliver)
    expect(outcomes).toEqual([{ kind: 'done' }, { kind: 'done' }])
    expect(receiver.requests).toHaveLength(1)
  })
})
