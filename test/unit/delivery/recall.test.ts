import { beforeEach, describe, expect, test } from 'vitest'
import type { Delivered } from '../../../src/delivery/delivery.ts'
import { createRecall, type Recall } from '../../../src/delivery/recall.ts'

let stamp: number | undefined
let nowMs: number
let recall: Recall
beforeEach(() => {
  stamp = 1
  nowMs = 1000
  recall = createRecall({ store: { changeStamp: () => stamp }, clock: { now: () => nowMs } })
})

function answer(reusableBy: string[] | undefined): Delivered {
  return {
    contentType: 'image/webp',
    etag: '"x"',
    lastModifiedMs: 0,
    headers: {},
    sizeBytes: 1,
    reusableBy,
    fromMemory: () => undefined,
    open: () => Promise.reject(new Error('not asked for')),
    readAll: () => Promise.reject(new Error('not asked for')),
  }
}

const get = (target: string, headers: Record<string, string> = {}) => ({ target, headers })
function keep(request: ReturnType<typeof get>, reusableBy: string[] = []): Delivered {
  const delivered = answer(reusableBy)
  recall.keep(request, delivered, recall.now())
  return delivered
}

describe('an answer is recalled', () => {
  test('for the same target, whatever the headers are that it does not depend on', () => {
    const delivered = keep(get('/demo/a.jpg', { accept: 'image/webp' }))
    expect(recall.find(get('/demo/a.jpg'))).toBe(delivered)
    for (const target of ['/demo/a.jpg?', '/demo/A.jpg', '/demo/a.jpg?x=1', '/demo//a.jpg']) {
      expect(recall.find(get(target))).toBeUndefined()
    }
  })

  test('for equal values of the headers that it depends on', () => {
    const headers = { accept: 'image/webp', 'sec-ch-width': '300' }
    const delivered = keep(get('/a', headers), ['accept', 'sec-ch-width'])
    expect(recall.find(get('/a', { ...headers, 'user-agent': 'x' }))).toBe(delivered)
    expect(recall.find(get('/a', { ...headers, accept: 'image/avif' }))).toBeUndefined()
    expect(recall.find(get('/a', { accept: 'image/webp' }))).toBeUndefined()
    expect(recall.find(get('/a', { accept: 'image/webp', 'sec-ch-width': '' }))).toBeUndefined()
    const other = keep(get('/a', { accept: 'image/avif' }), ['accept', 'sec-ch-width'])
    expect(recall.find(get('/a', { accept: 'image/avif' }))).toBe(other)
    expect(recall.find(get('/a', headers))).toBe(delivered)
  })

  test('by the headers that the newest answer depends on', () => {
    keep(get('/a', { accept: 'image/webp' }), ['accept'])
    const newest = keep(get('/a', { accept: 'image/webp' }), [])
    expect(recall.find(get('/a', { accept: 'image/avif' }))).toBe(newest)
  })

  test('from memory that does not grow with what strangers send', () => {
    for (let n = 0; n < 1000; n++) keep(get('/a', { accept: `image/${n}` }), ['accept'])
    const kept = Array.from({ length: 1000 }, (_, n) => recall.find(get('/a', { accept: `image/${n}` })))
    expect(kept.filter(Boolean).length).toBeLessThanOrEqual(16)
    expect(kept.at(-1)).toBeDefined()
  })
})

describe('an answer is not recalled', () => {
  test('when it said that it must not be', () => {
    recall.keep(get('/a'), answer(undefined), recall.now())
    expect(recall.find(get('/a'))).toBeUndefined()
  })

  test('after anything was committed', () => {
    keep(get('/a'))
    stamp = 2
    expect(recall.find(get('/a'))).toBeUndefined()
  })

  test('when something was committed while it was looked up', () => {
    const since = recall.now()
    stamp = 2
    recall.keep(get('/a'), answer([]), since)
    expect(recall.find(get('/a'))).toBeUndefined()
  })

  test('when the store cannot tell whether anything was committed', () => {
    keep(get('/a'))
    stamp = undefined
    expect(recall.find(get('/a'))).toBeUndefined()
    keep(get('/b'))
    expect(recall.find(get('/b'))).toBeUndefined()
    stamp = 1
    expect(recall.find(get('/b'))).toBeUndefined()
  })

  test('a second after it was looked up, or when the clock was set back', () => {
    const since = recall.now()
    nowMs += 900
    recall.keep(get('/a'), answer([]), since)
    expect(recall.find(get('/a'))).toBeDefined()
    nowMs += 100
    expect(recall.find(get('/a'))).toBeUndefined()
    keep(get('/a'))
    nowMs -= 1
    expect(recall.find(get('/a'))).toBeUndefined()
  })

  test('after it was cleared, also when it was looked up before', () => {
    keep(get('/a'))
    const since = recall.now()
    recall.clear()
    recall.keep(get('/b'), answer([]), since)
    expect(recall.find(get('/a'))).toBeUndefined()
    expect(recall.find(get('/b'))).toBeUndefined()
  })
})
