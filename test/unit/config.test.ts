import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { envNameOf, listSettings } from '../../src/config/config.ts'
import { ConfigError, loadConfig } from '../../src/config/load.ts'

function problemsOf(args: string[], env: Record<string, string>): string[] {
  try {
    loadConfig(args, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('loadConfig', () => {
  it('starts without any setting', () => {
    const { config, warnings } = loadConfig([], {})
    expect(config.http.port).toBe(8080)
    expect(config.http.host).toBe('127.0.0.1')
    expect(config.dataDir).toBe('./data')
    expect(config.upload.maxFileBytes).toBe(25 * 1024 * 1024)
    expect(config.upload.maxVideoBytes).toBe(300 * 1024 * 1024)
    expect(warnings).toEqual([])
  })

  it('lets flags win over the environment and the environment over the file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tintype-config-'))
    const file = join(folder, 'tintype.json')
    writeFileSync(file, JSON.stringify({ http: { port: 1, host: 'file' }, upload: { maxVersions: 7 } }))
    const env = { TINTYPE_CONFIG: file, PORT: '2', HOST: 'env' }
    const { config } = loadConfig(['--port=3'], env)
    expect([config.http.port, config.http.host, config.upload.maxVersions]).toEqual([3, 'env', 7])
  })

  it('reads secrets from files', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'tintype-config-')), 'key')
    writeFileSync(file, 'private_from_file\n')
    const { config } = loadConfig([], { TINTYPE_PRIVATE_KEY_FILE: file })
    expect(config.account.privateKey).toBe('private_from_file')
    expect(problemsOf([], { TINTYPE_PRIVATE_KEY_FILE: file, TINTYPE_PRIVATE_KEY: 'x' })).toHaveLength(1)
  })

  it('reports every problem at once, each with the name to change', () => {
    const problems = problemsOf(['--nonsense=1', '--port'], {
      PORT: 'eighty',
      TINTYPE_PUBLIC_URL: 'media.example.com',
      TINTYPE_UPLOAD_MAX_FILE_BYTES: '-5',
      TINTYPE_ALLOW_PRIVATE_NETWORK: 'yes',
      TINTYPE_CONFIG: '/does/not/exist.json',
    })
    for (const name of [
      '--nonsense',
      '--port',
      'PORT',
      'TINTYPE_PUBLIC_URL',
      'TINTYPE_UPLOAD_MAX_FILE_BYTES',
      'TINTYPE_ALLOW_PRIVATE_NETWORK',
      '/does/not/exist.json',
    ]) {
      expect(problems.filter((problem) => problem.startsWith(name))).not.toHaveLength(0)
    }
  })

  it('warns of names that nothing reads', () => {
    const { warnings } = loadConfig([], { TINTYPE_PORT: '1' })
    expect(warnings).toEqual(['TINTYPE_PORT is set, but no setting has this name'])
  })

  it('gives each setting a name of its own and a description', () => {
    const settings = listSettings()
    expect(new Set(settings.map((setting) => setting.env)).size).toBe(settings.length)
    expect(settings.filter((setting) => !setting.schema.description)).toEqual([])
    expect(envNameOf('delivery.maxAgeSec')).toBe('TINTYPE_DELIVERY_MAX_AGE_SEC')
    expect(envNameOf('delivery.memoryCacheMaxFileKiB')).toBe('TINTYPE_DELIVERY_MEMORY_CACHE_MAX_FILE_KIB')
    expect(settings.map(({ env }) => env).filter((env) => /_[A-Z](_|$)/.test(env))).toEqual([])
  })
})
