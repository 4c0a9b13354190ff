import { describe, expect, it } from 'vitest'
import { createHostGate, type HostGate } from '../../../src/library/host-gate.ts'

type Entered = Awaited<ReturnType<HostGate['enter']>>

function open(options: Partial<Parameters<typeof createHostGate>[0]> = {}) {
  const clock = { nowMs: 0 }
  const gate = createHostGate({
    maxInFlight: 2,
    maxFailures: 3,
    pauseMs: 1000,
    nowMs: () => clock.nowMs,
    ...options,
  })
  return { gate, clock }
}
const leaveOf = (entered: Entered) => {
  if ('waitMs' in entered) throw new Error(`no place for ${entered.waitMs} ms`)
  return entered.leave
}
const waitOf = (entered: Entered) => {
  if ('leave' in entered) throw new Error('there was a place')
  return entered.waitMs
}

describe('a host', () => {
  it('takes so many at a time; as many more wait, and the others are told to come back', async () => {
    const { gate } = open()
    const first = leaveOf(await gate.enter('a', 'j1'))
    leaveOf(await gate.enter('a', 'j2'))
    const third = gate.enter('a', 'j3')
    const fourth = gate.enter('a', 'j4')
    expect(waitOf(await gate.enter('a', 'j5'))).toBeGreaterThan(0)
    // Another host is not concerned.
    leaveOf(await gate.enter('b', 'j6'))
    first(true)
    leaveOf(await third)(true)
    leaveOf(await fourth)(true)
  })

  it('has the next ones come back the later the more there are, up to a bound', async () => {
    const { gate, clock } = open()
    const first = leaveOf(await gate.enter('a', 'j7'))
    leaveOf(await gate.enter('a', 'j8'))
    const waiting = gate.enter('a', 'j9')
    void gate.enter('a', 'j10')
    // One exchange took a second: with two at a time, each further one has to wait half a second more.
    clock.nowMs = 5000
    first(true)
    await waiting
    void gate.enter('a', 'j11')
    const waits: number[] = []
    for (let n = 0; n < 3; n++) waits.push(waitOf(await gate.enter('a', `later-${n}`)))
    expect(waits[1]! - waits[0]!).toBeCloseTo(waits[2]! - waits[1]!)
    expect(waits[1]! - waits[0]!).toBeGreaterThan(400)
    // The first comes back: it is behind the two others now, not behind itself.
    expect(waitOf(await gate.enter('a', 'later-0'))).toBeCloseTo(waits[2]!)
    for (let n = 0; n < 5000; n++) await gate.enter('a', `many-${n}`)
    expect(waitOf(await gate.enter('a', 'last'))).toBe(300_000)
  })

  it('is left alone after failures in a row, then gets one, and all again when that one works', async () => {
    const { gate, clock } = open()
    for (let n = 0; n < 3; n++) leaveOf(await gate.enter('a', 'j12'))(false)
    expect(waitOf(await gate.enter('a', 'j13'))).toBe(1000)
    clock.nowMs = 400
    expect(waitOf(await gate.enter('a', 'j14'))).toBe(600)

    clock.nowMs = 1000
    const probe = leaveOf(await gate.enter('a', 'j15'))
    const waiting = gate.enter('a', 'j16')
    expect(waitOf(await gate.enter('a', 'j17'))).toBeGreaterThan(0)
    probe(false)
    // It failed: the pause is longer, also for the one that waited behind it.
    expect(waitOf(await waiting)).toBe(2000)

    clock.nowMs = 3000
    leaveOf(await gate.enter('a', 'j18'))(true)
    leaveOf(await gate.enter('a', 'j19'))
    leaveOf(await gate.enter('a', 'j20'))
  })

  it('is not left alone for failures between successes', async () => {
    const { gate } = open()
    for (const worked of [false, false, true, false, false, true])
      leaveOf(await gate.enter('a', 'j21'))(worked)
    leaveOf(await gate.enter('a', 'j22'))
  })

  it('is forgotten when there are very many others', async () => {
    const { gate } = open()
    for (let n = 0; n < 3; n++) leaveOf(await gate.enter('bad', 'j23'))(false)
    for (let n = 0; n < 1500; n++) leaveOf(await gate.enter(`host-${n}`, 'j24'))(true)
    leaveOf(await gate.enter('bad', 'j25'))
  })
})
