import { createHmac, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

const STORES = ['TINTYPE_TEST_S3', 'TINTYPE_TEST_S3B']
const value = (prefix: string, name: string) => process.env[`${prefix}_${name}`] ?? ''

for (const prefix of STORES) {
  const isReady = value(prefix, 'ENDPOINT') !== ''
  describe.skipIf(!isReady)(
    `originals from the bucket${isReady ? ` (${prefix})` : ` (skipped: ${prefix}_ENDPOINT is not set)`}`,
    () => {
      let tintype: TestTintype
      beforeAll(async () => {
        tintype = await startTintype({
          env: {
            TINTYPE_S3_ENDPOINT: value(prefix, 'ENDPOINT'),
            TINTYPE_S3_BUCKET: value(prefix, 'BUCKET'),
            TINTYPE_S3_REGION: value(prefix, 'REGION'),
            TINTYPE_S3_ACCESS_KEY: value(prefix, 'ACCESS_KEY'),
            TINTYPE_S3_SECRET_KEY: value(prefix, 'SECRET_KEY'),
            TINTYPE_BLOBS_S3_PREFIX: `redirects-${Date.now()}/`,
            TINTYPE_BLOBS_S3_CACHE_BYTES: '0',
            TINTYPE_DELIVERY_REDIRECT_MIN_BYTES: '100000',
            TINTYPE_DELIVERY_REDIRECT_SEC: '120',
          },
        })
      })
      afterAll(() => tintype?.stop())

      const ask = (path: string, options: RequestInit = {}) =>
        fetch(`${tintype.url}/${TEST_KEYS.id}${path}`, { redirect: 'manual', ...options })
      const store = async (bytes: Buffer, fields: Record<string, string>) => {
        const { body } = await upload(tintype, bytes, { useUniqueFileName: 'false', ...fields })
        return body.filePath as string
      }

      it('are fetched there by the URL of a redirect, under their own name and type', async () => {
        const bytes = randomBytes(150_000)
        const path = await store(bytes, { fileName: 'large.bin' })
        const answer = await ask(path)
        expect(answer.status).toBe(302)
        expect(answer.headers.get('cache-control')).toBe('private, max-age=60')
        const location = answer.headers.get('location')!
        expect(new URL(location).searchParams.get('X-Amz-Expires')).toBe('120')
        const fetched = await fetch(location)
        expect(fetched.status).toBe(200)
        expect(Buffer.from(await fetched.arrayBuffer()).equals(bytes)).toBe(true)
        expect(fetched.headers.get('content-disposition')).toContain('large.bin')
        const part = await fetch(location, { headers: { range: 'bytes=10-19' } })
        expect(part.status).toBe(206)
        expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true)
        const changed = new URL(location)
        changed.searchParams.set('X-Amz-Expires', '100000')
        expect((await fetch(changed)).status).toBe(403)
      })

      it('come from the server where that is as good: small ones, unchanged ones and HEAD', async () => {
        const small = await store(randomBytes(500), { fileName: 'small.bin' })
        expect((await ask(small)).status).toBe(200)
        const large = await store(randomBytes(120_000), { fileName: 'again.bin' })
        const head = await ask(large, { method: 'HEAD' })
        expect([head.status, head.headers.get('content-length')]).toEqual([200, '120000'])
        const unchanged = await ask(large, { headers: { 'if-none-match': head.headers.get('etag')! } })
        expect(unchanged.status).toBe(304)
        const svg = `<svg xmlns="http://www.w3.org/2000/svg"><!--${'x'.repeat(120_000)}--></svg>`
        expect((await ask(await store(Buffer.from(svg), { fileName: 'safe.svg' }))).status).toBe(200)
      })

      it('of private files are reached by nobody without a signature, and no longer than with it', async () => {
        const path = await store(randomBytes(130_000), { fileName: 'private.bin', isPrivateFile: 'true' })
        expect((await ask(path)).status).toBe(401)
        const expires = Math.floor(Date.now() / 1000) + 40
        const signature = createHmac('sha1', TEST_KEYS.privateKey)
          .update(`${path.slice(1)}${expires}`)
          .digest('hex')
        const answer = await ask(`${path}?ik-t=${expires}&ik-s=${signature}`)
        expect(answer.status).toBe(302)
        const seconds = Number(new URL(answer.headers.get('location')!).searchParams.get('X-Amz-Expires'))
        expect(seconds).toBeGreaterThan(0)
        expect(seconds).toBeLessThanOrEqual(40)
      })
    },
  )
}
