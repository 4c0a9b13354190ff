import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

const root = join(import.meta.dirname, '../..')
const chromiumPath = process.env.CHROMIUM_PATH
const reason = !chromiumPath
  ? ' (skipped: CHROMIUM_PATH names no browser)'
  : !fixturesDir
    ? ' (skipped: no sample photographs)'
    : ''

// What runs in the page is given as text, since the tests are compiled without the types of a browser.

/** A client of the served script, with the public settings that the page carries. */
const NEW_CLIENT = `
  const { publicKey, urlEndpoint } = document.documentElement.dataset
  const newClient = (options) => new ImageKit({ publicKey, urlEndpoint, authenticationEndpoint: '/auth', ...options })`

describe.runIf(reason === '')(`uploads from a real browser${reason}`, () => {
  let server: Server
  let backend: { origin: string; process: ChildProcess }
  let browser: Browser
  let page: Page
  let problems: string[]

  beforeAll(async () => {
    server = await startServer()
    backend = await startExample(server)
    browser = await chromium.launch({
      executablePath: chromiumPath!,
      args: process.env.CHROMIUM_FLAGS?.split(',') ?? [],
    })
  })
  afterAll(async () => {
    await browser?.close()
    backend?.process.kill()
    await server?.dispose()
  })
  beforeEach(async () => {
    page = await browser.newPage()
    problems = []
    page.on('pageerror', (error) => problems.push(String(error)))
    await page.goto(backend.origin)
  })
  afterEach(async () => {
    await page.close()
    expect(problems).toEqual([])
  })

  /** Runs the body of an async function in the page. */
  const inPage = <T>(body: string) => page.evaluate<T>(`(async () => {${body}})()`)
  const status = () => page.locator('#status').textContent()
  const filesNamed = async (name: string) =>
    (await sdk7(server).assets.list({ limit: 100 })).filter((file) => file.name!.startsWith(name))

  test.each(['v2', 'v1'])('the form of the documentation, %s: progress, then the picture', async (api) => {
    await page.goto(`${backend.origin}/?api=${api}`)
    await inPage(`
      globalThis.shown = []
      const status = document.getElementById('status')
      new MutationObserver(() => shown.push(status.textContent)).observe(status, { childList: true })`)
    await page.getByLabel('Picture').setInputFiles(fixture('photos/china.jpg'))
    const request = page.waitForRequest(`${server.url}/api/${api}/files/upload`)
    await page.locator('input[type=submit]').click()
    expect((await request).headers().authorization).toBeUndefined()
    await expect.poll(status).toMatch(/^Uploaded as china_.{9}\.jpg$/)
    const shown = await inPage<string[]>('return shown')
    expect(shown.filter((text) => text.endsWith('%')).at(-1)).toBe('100 %')

    const picture = await inPage(`
      const picture = document.getElementById('picture')
      await picture.decode()
      return { size: [picture.naturalWidth, picture.naturalHeight], query: new URL(picture.src).search }`)
    expect(picture).toEqual({ size: [400, 300], query: '?tr=h-300,w-400' })
    const name = (await status())!.replace('Uploaded as ', '')
    expect(await filesNamed(name)).toHaveLength(1)
  })

  test('two requests by hand, without the client', async () => {
    await page.goto(`${backend.origin}/without-client`)
    await page.getByLabel('Picture').setInputFiles(fixture('photos/flower.jpg'))
    await page.locator('input[type=submit]').click()
    await expect.poll(status).toMatch(/^Uploaded as abc_.{9}\.jpg$/)
    await inPage(`await document.getElementById('picture').decode()`)
  })

  test('the backend refuses what its authorize hook does not allow', async () => {
    await page.getByLabel('Picture').setInputFiles({
      name: 'notes.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('no picture'),
    })
    await page.locator('input[type=submit]').click()
    await expect.poll(status).toBe('You may not make this upload.')
    expect(await filesNamed('notes')).toEqual([])
  })

  test('a file name changed after signing is refused, and the token is used up by it', async () => {
    const outcome = await inPage<{ changed: string; again: string }>(`${NEW_CLIENT}
      let token
      const imagekit = newClient({
        authenticationEndpoint: async (request) => {
          const uploadPayload = { ...request.uploadPayload, fileName: 'signed.jpg' }
          const response = await fetch('/auth', {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ ...request, uploadPayload }),
          })
          const answer = await response.json()
          token = answer.token
          return answer
        },
      })
      const attempt = (fields) =>
        imagekit.upload({ file: new Blob(['x']), ...fields }).then(
          () => 'accepted',
          (error) => error.name + ': ' + error.message,
        )
      const changed = await attempt({ fileName: 'changed.jpg' })
      return { changed, again: await attempt({ fileName: 'signed.jpg', token }) }`)
    expect(outcome.changed).toBe(
      'ImageKitInvalidRequestError: Your request contains invalid payload. It does not match with the payload used to generate token.',
    )
    expect(outcome.again).toMatch(
      /^ImageKitInvalidRequestError: The token with value '.*' has been used before\./,
    )
    expect(await filesNamed('changed')).toEqual([])
    expect(await filesNamed('signed')).toEqual([])
  })

  test('text of every kind is signed as the browser sends it', async () => {
    const tags = await inPage(`${NEW_CLIENT}
      const result = await newClient().upload({
        file: new File(['x'], 'x.png'),
        fileName: 'ünï "quoted" 😀.png',
        tags: ['a b', 'ç'],
        description: 'one\\ntwo\\rthree\\r\\nfour \\ud800',
        useUniqueFileName: false,
        responseFields: ['tags'],
      })
      return result.tags`)
    expect(tags).toEqual(['a b', 'ç'])
  })

  test('an aborted upload leaves nothing behind', async () => {
    const name = await inPage(`${NEW_CLIENT}
      const controller = new AbortController()
      const upload = newClient().upload({
        file: new Blob([new Uint8Array(20_000_000)]),
        fileName: 'aborted.png',
        abortSignal: controller.signal,
        onProgress: () => controller.abort(),
      })
      return await upload.then(() => 'accepted', (error) => error.name)`)
    expect(name).toBe('ImageKitAbortError')
    expect(await filesNamed('aborted')).toEqual([])
  })

  test('@imagekit/javascript uploads through the shim', async () => {
    await page.addScriptTag({ path: join(root, 'node_modules/@imagekit/javascript/dist/imagekit.min.js') })
    const result = await inPage<{ name: string; requestId: string; seen: number[] }>(`
      const { createXhr } = await import('${server.url}/client/xhr.mjs')
      const credentials = await (await fetch('/auth-v1')).json()
      const seen = []
      const answer = await ImageKit.upload({
        file: new File(['hello'], 'hello.txt'),
        fileName: 'official.txt',
        publicKey: document.documentElement.dataset.publicKey,
        ...credentials,
        tags: ['shim'],
        onProgress: (event) => seen.push(event.loaded / event.total),
        xhr: createXhr('${server.url}'),
      })
      return { name: answer.name, requestId: answer.$ResponseMetadata.requestId, seen }`)
    expect(result.name).toMatch(/^official_.{9}\.txt$/)
    expect(result.requestId).toMatch(/^[0-9a-f-]{36}$/)
    expect(result.seen.at(-1)).toBe(1)
    expect(await filesNamed('official')).toHaveLength(1)
  })

  test('the module has what the classic script has', async () => {
    const [url, names] = await inPage<[string, string[]]>(`
      const module = await import('${server.url}/client/imagekit.mjs')
      const imagekit = new module.ImageKit({ publicKey: 'p', urlEndpoint: '${server.url}/demo' })
      return [imagekit.url({ path: 'a.jpg' }), Object.keys(module)]`)
    expect(url).toBe(`${server.url}/demo/a.jpg`)
    const missing = await inPage(
      `return ${JSON.stringify(names)}.filter((name) => name.endsWith('Error') && !ImageKit[name])`,
    )
    expect(names).toContain('ImageKitAbortError')
    expect(missing).toEqual([])
  })
})

/** Starts the example's backend as its README says. */
async function startExample(server: Server): Promise<{ origin: string; process: ChildProcess }> {
  const child = spawn(process.execPath, [join(root, 'examples/browser-upload/server.js')], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      TINTYPE_URL: server.url,
      TINTYPE_URL_ENDPOINT: server.endpoint,
      TINTYPE_PUBLIC_KEY: server.publicKey,
      TINTYPE_PRIVATE_KEY: server.privateKey,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const text of child.stdout) {
    const origin = /(http:\/\/[^/]+)\//.exec(String(text))?.[1]
    if (origin) return { origin, process: child }
  }
  throw new Error('the example did not start')
}
