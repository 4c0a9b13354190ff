import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    restoreMocks: true,
    // What is waited for comes at once; on a busy machine, or from another node, it may take its time.
    expect: { poll: { timeout: 10_000 } },
    // A shared CI machine may hold a process up for seconds; what fails twice in a row is wrong.
    retry: process.env.CI ? 1 : 0,
  },
})
