import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { catalog } from '../../src/transform/catalog.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  const photo = await sharp({ create: { width: 120, height: 80, channels: 3, background: '#336699' } })
    .jpeg()
    .toBuffer()
  await upload(tintype, photo, { fileName: 'photo.jpg', useUniqueFileName: 'false' })
})
afterAll(() => tintype.stop())

const examples = [
  ...catalog.flatMap((definition) => definition.examples),
  'l-image,i-photo.jpg,w-20,l-end',
  'l-text,i-Hello,fs-20,l-end',
  'l-image,i-ik_canvas,bg-red,w-bw_div_2,h-10,l-end',
  'if-w_gt_5,w-9,if-else,rt-90,if-end',
  'n-ik_ml_thumbnail',
]
const steps = fc
  .array(fc.array(fc.constantFrom(...examples), { minLength: 1, maxLength: 3 }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((chain) => chain.map((step) => step.join(',')).join(':'))
const mutated = fc
  .tuple(
    steps,
    fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.string({ maxLength: 3 })), { minLength: 1, maxLength: 4 }),
  )
  .map(([text, changes]) =>
    changes.reduce((current, [position, cut, insert]) => {
      const at = position % (current.length + 1)
      return current.slice(0, at) + insert + current.slice(at + cut)
    }, text),
  )
const garbage = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc
    .array(
      fc.constantFrom(
        'w',
        'h',
        '-',
        '_',
        ',',
        ':',
        'l-',
        'l-end',
        'i-',
        'if-',
        'N',
        '9',
        '0.',
        '@@',
        '%',
        'bw',
        'mul',
        '/',
      ),
      {
        maxLength: 30,
      },
    )
    .map((parts) => parts.join('')),
)

/** Longest time for an answer: that of a render, and of a machine that does other things, too. */
const LIMIT_MS = 15_000
/** The long form: FUZZ_RUNS=5000 npx vitest run test/api/delivery-fuzz.test.ts */
const runs = Number(process.env.FUZZ_RUNS ?? 200)

test(
  'no transformation, whatever it is, breaks delivery or takes too long',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          { weight: 3, arbitrary: mutated },
          { weight: 1, arbitrary: steps },
          { weight: 1, arbitrary: garbage },
        ),
        fc.constantFrom('path', 'query', 'raw'),
        async (text, form) => {
          const encoded =
            form === 'raw'
              ? text.replace(/[^\x21-\x7e]|[#?\\]/g, '')
              : encodeURIComponent(text.toWellFormed())
          const path = form === 'path' ? `tr:${encoded}/photo.jpg` : `photo.jpg?tr=${encoded}`
          const startMs = performance.now()
          const response = await fetch(`${tintype.url}/demo/${path}`)
          const body = await response.arrayBuffer()
          expect(performance.now() - startMs, path).toBeLessThan(LIMIT_MS)
          // 501 is the clear answer to what needs a model, and to video.
          const isAnswer = response.status < 500 || response.status === 501
          expect(isAnswer, `${path}: ${response.status} ${Buffer.from(body).toString('utf8', 0, 300)}`).toBe(
            true,
          )
          if (!response.ok) expect(response.headers.get('ik-error'), path).toMatch(/^[A-Z]+ - ./)
          expect([...response.headers.values()].join(), path).not.toContain('NaN')
        },
      ),
      { numRuns: runs },
    )
    // It goes on as before.
    expect((await fetch(`${tintype.url}/demo/photo.jpg?tr=w-10`)).status).toBe(200)
  },
  60_000 + runs * 500,
)
