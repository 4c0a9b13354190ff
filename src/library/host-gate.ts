/** Bounds what is sent to one host at a time, and leaves hosts alone that take nothing. */
export type HostGate = {
  /**
   * Asks for a place. In front of each host a few may wait for one; the others are told to come back, each after as
   * long as those before it will need.
   * @param id tells one that comes back from a new one.
   * @returns a function that gives the place back, with whether the host took what was sent; or how long to stay away.
   */
  enter(host: string, id: string): Promise<{ leave: (worked: boolean) => void } | { waitMs: number }>
}

type Host = {
  inFlight: number
  waiting: (() => void)[]
  /** Those that were told to come back and have not yet, with the time for which they were told. */
  away: Map<string, number>
  /** How long an exchange takes, smoothed. */
  averageMs: number
  failures: number
  pauseMs: number
  closedUntilMs: number
  usedAtMs: number
}

const MIN_WAIT_MS = 100
const MAX_WAIT_MS = 300_000
const MAX_PAUSE_MS = 600_000
/** Hosts that are remembered: URLs of requests may name ever new ones. */
const MAX_HOSTS = 1000
/** Those that are away and remembered, for one host: enough to tell them to come back as late as is possible. */
const MAX_AWAY = 20_000

export function createHostGate(options: {
  maxInFlight: number
  /** Failures in a row after which a host is left alone. */
  maxFailures: number
  /** For how long, at first; it doubles with each further failure. */
  pauseMs: number
  nowMs?: () => number
}): HostGate {
  const { maxInFlight, maxFailures, pauseMs, nowMs = () => performance.now() } = options
  const hosts = new Map<string, Host>()

  const hostOf = (name: string): Host => {
    const known = hosts.get(name)
    if (known) {
      known.usedAtMs = nowMs()
      return known
    }
    if (hosts.size >= MAX_HOSTS) forgetIdle()
    const fresh: Host = {
      inFlight: 0,
      waiting: [],
      away: new Map(),
      averageMs: 100,
      failures: 0,
      pauseMs,
      closedUntilMs: 0,
      usedAtMs: nowMs(),
    }
    hosts.set(name, fresh)
    return fresh
  }

  const forgetIdle = () => {
    const idle = [...hosts].filter(([, host]) => host.inFlight === 0 && host.waiting.length === 0)
    idle.sort(([, a], [, b]) => a.usedAtMs - b.usedAtMs)
    for (const [name] of idle.slice(0, MAX_HOSTS / 10)) hosts.delete(name)
  }

  const occupy = (host: Host) => {
    host.inFlight += 1
    const beganMs = nowMs()
    return {
      leave(worked: boolean) {
        host.inFlight -= 1
        host.averageMs = 0.8 * host.averageMs + 0.2 * (nowMs() - beganMs)
        if (worked) {
          host.failures = 0
          host.pauseMs = pauseMs
          host.closedUntilMs = 0
        } else {
          host.failures += 1
          if (host.failures >= maxFailures) {
            host.closedUntilMs = nowMs() + host.pauseMs
            host.pauseMs = Math.min(host.pauseMs * 2, MAX_PAUSE_MS)
          }
        }
        host.waiting.shift()?.()
      },
    }
  }

  const sendAway = (host: Host, id: string): number => {
    // Others may have been taken over by another process; they were told to come the longest ago.
    for (const [known, dueMs] of host.away) {
      if (dueMs + MAX_WAIT_MS > nowMs() && host.away.size < MAX_AWAY) break
      host.away.delete(known)
    }
    const aheadMs = ((host.away.size + 1) / maxInFlight) * host.averageMs
    const waitMs = Math.min(Math.max(aheadMs, MIN_WAIT_MS), MAX_WAIT_MS)
    host.away.set(id, nowMs() + waitMs)
    return waitMs
  }

  /** A host that has failed gets one exchange, which decides about the next. */
  const mostInFlight = (host: Host) => (host.failures >= maxFailures ? 1 : maxInFlight)

  return {
    async enter(name, id) {
      const host = hostOf(name)
      host.away.delete(id)
      for (;;) {
        const closedMs = host.closedUntilMs - nowMs()
        if (closedMs > 0) {
          host.waiting.shift()?.()
          return { waitMs: closedMs }
        }
        if (host.inFlight < mostInFlight(host)) return occupy(host)
        if (host.waiting.length >= mostInFlight(host)) {
          return { waitMs: sendAway(host, id) }
        }
        await new Promise<void>((resolve) => host.waiting.push(resolve))
      }
    },
  }
}
