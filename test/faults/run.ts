import type { Server } from '../support/server.ts'

/** Every random choice of a run follows from it. */
export const SEED = Number(process.env.FAULTS_SEED ?? 1)

/** Whether `npm run test:faults -- --long` runs this. */
export const isLong = process.env.FAULTS_LONG !== undefined

const untilMs = performance.now() + Number(process.env.FAULTS_MINUTES ?? Number.POSITIVE_INFINITY) * 60_000

/** Whether a run that may take only so long has to come to its end. */
export function isTimeOver(): boolean {
  return performance.now() > untilMs
}

/** Tells whoever watches a long run how far it is. */
export function sayProgress(what: string, done: number, total: number, counts: Record<string, number>) {
  if (!isLong || (done % 10 !== 0 && done !== total)) return
  const requests = Object.values(counts).reduce((sum, count) => sum + count, 0)
  process.stderr.write(`${what}: ${done} of ${total}, ${requests} outcomes counted\n`)
}

/** The keys of a server, for the next one on its data. */
export function keysOf(server: Server) {
  return {
    TINTYPE_PRIVATE_KEY: server.privateKey,
    TINTYPE_PUBLIC_KEY: server.publicKey,
    TINTYPE_ID: server.id,
  }
}

/** A server that takes this long to answer is not well, however busy the machine. */
export const LONGEST_START_MS = isLong ? 240_000 : 60_000
