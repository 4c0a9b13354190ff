// A reporter of vitest: writes the tests that passed only when they were tried again, as a list in JSON, to the file
// that RETRIED_TESTS names, so that `npm test` can say which they are.
import { writeFileSync } from 'node:fs'

export default class RetriedReporter {
  #retried = []

  onTestCaseResult(test) {
    const diagnostic = test.diagnostic()
    if (!diagnostic?.flaky) return
    const [error] = test.result().errors ?? []
    this.#retried.push({
      name: `${test.module.relativeModuleId} > ${test.fullName}`,
      tries: diagnostic.retryCount + 1,
      error: String(error?.message ?? '').split('\n', 1)[0],
    })
  }

  onTestRunEnd() {
    if (process.env.RETRIED_TESTS) writeFileSync(process.env.RETRIED_TESTS, JSON.stringify(this.#retried))
  }
}
