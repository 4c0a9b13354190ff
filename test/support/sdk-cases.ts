import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, onTestFinished } from 'vitest'

export type SdkName = 'sdk6' | 'sdk7'

/** One call of a method of an SDK in a test that has passed. */
export type SdkCase = {
  sdk: SdkName
  /** Such as `files.upload`. */
  method: string
  /** `ok`, or the status of the answer that the SDK threw. */
  outcome: string
  test: string
}

const root = join(import.meta.dirname, '../..')
/** Where the cases of each test file are kept, for `npm run docs`. */
export const CASES_DIR = '.cache/sdk-cases'

const calls = new Map<string, SdkCase[]>()
let isFirstWrite = true

/**
 * An SDK's client that takes down which of its methods a test calls, and how they end. What passed is written when the
 * test has passed; calls outside of tests are not counted.
 */
export function recorded<T extends object>(sdk: SdkName, client: T): T {
  return wrap(sdk, client, '')
}

function wrap<T extends object>(sdk: SdkName, target: T, path: string): T {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object)
      if (typeof name === 'symbol' || name.startsWith('_')) return value
      const full = path === '' ? name : `${path}.${name}`
      if (typeof value === 'function') {
        // Of the current SDK's client itself only resources count: its own methods are plumbing.
        const isPlumbing = sdk === 'sdk7' && path === ''
        return isPlumbing || name === 'constructor' ? value : watch(sdk, full, value.bind(object))
      }
      return isResource(value) ? wrap(sdk, value, full) : value
    },
  })
}

function isResource(value: unknown): value is object {
  return typeof value === 'object' && value !== null && '_client' in value
}

type AnyFunction = (...values: unknown[]) => unknown

function watch(sdk: SdkName, method: string, call: AnyFunction): AnyFunction {
  return (...values) => {
    const note = (error?: unknown) => take({ sdk, method, outcome: outcomeOf(error) })
    const last = values.at(-1)
    if (typeof last === 'function') {
      const callback = last as AnyFunction
      return call(...values.slice(0, -1), (error: unknown, ...rest: unknown[]) => {
        note(error ?? undefined)
        return callback(error, ...rest)
      })
    }
    let result: unknown
    try {
      result = call(...values)
    } catch (error) {
      note(error)
      throw error
    }
    if (!(result instanceof Promise)) {
      note()
      return result
    }
    // Noted by a branch of its own: the promise itself goes to the test. That of the current SDK begins to read the
    // answer only when it is asked for.
    const lazy = result as { parse?: () => Promise<unknown> }
    if (lazy.parse === undefined) result.then(() => note(), note)
    else {
      const parse = lazy.parse.bind(lazy)
      let isWatched = false
      lazy.parse = () => {
        const answer = parse()
        if (!isWatched) answer.then(() => note(), note)
        isWatched = true
        return answer
      }
    }
    return result
  }
}

function outcomeOf(error: unknown): string {
  if (error === undefined) return 'ok'
  const { status, $ResponseMetadata } = error as {
    status?: number
    $ResponseMetadata?: { statusCode?: number }
  }
  return String(status ?? $ResponseMetadata?.statusCode ?? 'error')
}

function take(what: Omit<SdkCase, 'test'>): void {
  const { currentTestName: test, testPath } = expect.getState()
  if (test === undefined || testPath === undefined) return
  const known = calls.get(test)
  if (known) {
    known.push({ ...what, test })
    return
  }
  const cases = [{ ...what, test }]
  try {
    onTestFinished(({ task }) => {
      calls.delete(test)
      if (task.result?.state !== 'fail') save(testPath, cases)
    })
  } catch {
    // Called while a suite is set up.
    return
  }
  calls.set(test, cases)
}

function save(testPath: string, cases: SdkCase[]): void {
  const name = relative(root, testPath).replaceAll(/[\\/]/g, '__')
  const file = join(root, CASES_DIR, `${name}.jsonl`)
  const lines = cases.map((line) => `${JSON.stringify(line)}\n`).join('')
  if (isFirstWrite) {
    isFirstWrite = false
    mkdirSync(join(root, CASES_DIR), { recursive: true })
    writeFileSync(file, lines)
  } else appendFileSync(file, lines)
}
