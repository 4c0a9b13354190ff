import { Session } from 'node:inspector/promises'
import { setFlagsFromString } from 'node:v8'
import pino from 'pino'
import { compose } from './compose.ts'
import type { Config } from './config/config.ts'
import { ConfigError, loadConfig } from './config/load.ts'
import { TintypeError } from './kernel/errors.ts'
import { describeStart } from './start-message.ts'

/** Secrets that could reach a log line through a logged object (trust A06). */
const REDACTED = ['authorization', 'token', 'signature', 'privateKey', 'ik-s'].flatMap((name) => [
  `["${name}"]`,
  `*["${name}"]`,
])

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

function readConfig(args: string[]): { config: Config; warnings: string[] } {
  try {
    return loadConfig(args)
  } catch (error) {
    if (error instanceof ConfigError) fail(`Tintype cannot start. ${error.message}`)
    throw error
  }
}

/**
 * V8 takes every 16 MiB of buffers for a reason to mark the whole heap, which costs a server that receives files more
 * than receiving them: here buffers count as what they are, a part of all memory in use.
 */
function countBuffersAsMemory(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}

/**
 * Starting leaves as much garbage as there is memory in use, and V8 keeps that until a server has much to do: 25 MiB
 * that an idle one never gives back by itself.
 */
async function releaseStartMemory(): Promise<void> {
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.collectGarbage')
  session.disconnect()
}

/**
 * Runs the server until it is told to stop; ends the process.
 * @param args settings as `--name=value`.
 */
export async function serve(args: string[]): Promise<void> {
  countBuffersAsMemory()
  const { config, warnings } = readConfig(args)
  const log = pino({ level: config.logLevel, redact: REDACTED }, pino.destination({ dest: 2, sync: false }))
  for (const warning of warnings) log.warn({}, warning)

  const tintype = await compose(config, log).catch((error: unknown) => {
    if (error instanceof TintypeError) {
      fail(`Tintype cannot start. ${error.message}${error.cause ? `\n  (${String(error.cause)})` : ''}`)
    }
    throw error
  })
  await releaseStartMemory()
  const url = await tintype.http.listen().catch((error: NodeJS.ErrnoException) => {
    fail(`Tintype cannot listen on ${config.http.host}:${config.http.port}: ${error.message}`)
  })
  process.stdout.write(describeStart({ url, config, account: tintype.account }))

  let stopping = false
  const stop = (signal: string) => {
    if (stopping) return
    stopping = true
    log.info({ signal }, 'finishing running requests, then stopping')
    tintype.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stopping failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGINT', () => stop('SIGINT'))
  // After an error that nobody foresaw the state is unknown: log it, stop in order, let the supervisor start afresh
  // (trust Z01).
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ err: error }, event)
      process.exitCode = 1
      setTimeout(() => process.exit(1), 5000).unref()
      tintype.close().finally(() => process.exit(1))
    })
  }
}
