import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pdf } from '../support/pdf.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype

const picture = (width: number, height: number, background: string) =>
  sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()

beforeAll(async () => {
  tintype = await startTintype()
  const frames = await Promise.all(
    ['red', 'lime', 'blue'].map(async (color) =>
      sharp(await picture(20, 10, color))
        .raw()
        .toBuffer(),
    ),
  )
  const animation = await sharp(Buffer.concat(frames), {
    raw: { width: 20, height: 30, channels: 3, pageHeight: 10 },
  })
    .gif({ delay: [100, 100, 100], loop: 0 })
    .toBuffer()
  const files: [string, Buffer][] = [
    ['photo.png', await picture(300, 200, 'red')],
    [
      'doc.pdf',
      pdf([
        { width: 100, height: 50, rgb: [1, 0, 0] },
        { width: 50, height: 100, rgb: [0, 0, 1] },
      ]),
    ],
    ['moving.gif', animation],
    [
      'drawing.svg',
      Buffer.from(
        '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"><script>1</script><rect/></svg>',
      ),
    ],
    ['broken.svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><g></svg>')],
    ['clip.mp4', Buffer.from('000000186674797069736f6d0000020069736f6d69736f32', 'hex')],
    ['note.txt', Buffer.from('a note')],
  ]
  for (const [fileName, bytes] of files) {
    const { status } = await upload(tintype, bytes, { fileName, folder: '/x', useUniqueFileName: 'false' })
    expect(status, fileName).toBe(200)
  }
})
afterAll(() => tintype.stop())

const get = async (path: string) => {
  const response = await fetch(`${tintype.url}/demo/${path}`)
  return {
    status: response.status,
    headers: response.headers,
    body: Buffer.from(await response.arrayBuffer()),
  }
}
/** Size, format and the colour of the middle. */
const look = async (path: string) => {
  const { status, body } = await get(path)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  const { width, height, format } = await sharp(body).metadata()
  const { data } = await sharp(body)
    .resize(1, 1, { fit: 'fill' })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const names = ['red', 'green', 'blue']
  return `${width}x${height} ${format} ${names[data.indexOf(Math.max(...data))]}`
}

describe('names for search engines', () => {
  it('lead to the file, with a transformation before or after them', async () => {
    expect(await look('ik-seo/x/photo/a-nice-view.png')).toBe('300x200 png red')
    expect(await look('tr:w-30/ik-seo/x/photo/a-nice-view.png')).toBe('30x20 jpeg red')
    expect(await look('ik-seo/tr:w-30/x/photo/a-nice-view.png')).toBe('30x20 jpeg red')
    expect(await look('ik-seo/x/photo/a-nice-view.png?tr=w-30')).toBe('30x20 jpeg red')
    expect((await get('ik-seo/x/photo/a-nice-view.jpg')).status).toBe(404)
    expect((await get('ik-seo/photo.png')).status).toBe(404)
  })
})

describe('thumbnails', () => {
  it('of documents show a page', async () => {
    expect(await look('x/doc.pdf/ik-thumbnail.jpg')).toBe('100x50 jpeg red')
    expect(await look('x/doc.pdf/ik-thumbnail.jpg?tr=pg-2')).toBe('50x100 jpeg blue')
    expect(await look('tr:pg-2,w-200/x/doc.pdf/ik-thumbnail.jpg')).toBe('200x400 jpeg blue')
    expect(await look('x/doc.pdf/ik-thumbnail.jpg?tr=w-20,f-png')).toBe('20x10 png red')
    const beyond = await get('x/doc.pdf/ik-thumbnail.jpg?tr=pg-3')
    expect([beyond.status, beyond.headers.get('ik-error')]).toEqual([
      400,
      'UNIDENTIFIED - The file has 2 pages; page 3 does not exist.',
    ])
    // The document itself is the document.
    expect((await get('x/doc.pdf?tr=w-20')).headers.get('content-type')).toBe('application/pdf')
  })
  it('of animations show a frame', async () => {
    expect(await look('x/moving.gif/ik-thumbnail.jpg')).toBe('20x10 jpeg red')
    expect(await look('x/moving.gif/ik-thumbnail.jpg?tr=pg-3,w-10')).toBe('10x5 jpeg blue')
  })
  it('can be layers', async () => {
    expect(await look('x/photo.png?tr=l-image,i-x@@doc.pdf,pg-2,w-300,h-200,c-force,l-end')).toContain('blue')
  })
})

describe('what cannot be served yet is said so', () => {
  it.each([
    ['x/clip.mp4?tr=w-100', 501],
    ['x/clip.mp4/ik-thumbnail.jpg', 501],
    ['x/clip.mp4/ik-video.mp4', 501],
    ['x/clip.mp4/ik-video.mp4/ik-thumbnail.jpg', 501],
    ['x/clip.mp4/ik-master.m3u8?tr=sr-240_360', 501],
    ['x/clip.mp4/ik-master.mpd?tr=sr-240_360', 501],
    ['x/clip.mp4/ik-seek-thumbnail-track.vtt', 501],
    ['x/clip.mp4/ik-gensubtitle.vtt', 501],
    ['x/moving.gif/ik-gif-video.mp4', 501],
    ['x/note.txt/ik-thumbnail.jpg', 501],
    ['ik-genimg-prompt-a%20cat/x/cat.jpg', 501],
    ['x/photo.png?tr=f-mp4', 501],
    ['x/none.mp4/ik-thumbnail.jpg', 404],
  ])('%s: %i', async (path, status) => {
    const answer = await get(path)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('ik-error')).toMatch(/ - ./)
    expect(JSON.parse(answer.body.toString()).message).not.toBe('')
  })
  it('while the original of a video is there', async () => {
    for (const path of ['x/clip.mp4', 'x/clip.mp4?tr=orig-true', 'x/clip.mp4?tr=orig']) {
      expect((await get(path)).status, path).toBe(200)
    }
  })
})

describe('SVG', () => {
  it('is made harmless on request', async () => {
    expect((await get('x/drawing.svg')).body.toString()).toContain('<script>')
    const clean = await get('x/drawing.svg?ik-sanitizeSvg=true')
    expect(clean.body.toString()).toBe(
      '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"><rect/></svg>',
    )
    expect(clean.headers.get('content-type')).toContain('image/svg+xml')
    expect(clean.headers.get('etag')).not.toBe((await get('x/drawing.svg')).headers.get('etag'))
    expect((await get('x/drawing.svg?ik-sanitizeSvg=false')).body.toString()).toContain('<script>')
    expect((await get('x/broken.svg?ik-sanitizeSvg=true')).status).toBe(400)
    expect((await get('x/photo.png?ik-sanitizeSvg=true')).status).toBe(200)
  })
})

it.each<[string, Buffer, number, number]>([
  ['a.jxl', Buffer.from('ff0a7f0000000000000000000000000000', 'hex'), 415, 415],
  [
    'a.jp2',
    Buffer.from(`0000000c6a5020200d0a870a00000014667479706a703220000000006a703220${'00'.repeat(40)}`, 'hex'),
    415,
    415,
  ],
  // Not an image to us: it comes as it is, like any other file.
  ['a.eps', Buffer.from('%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n'), 200, 501],
])(
  '%s, which nothing here draws, is delivered, and refused where it would have to be drawn',
  async (fileName, bytes, transformed, thumbnail) => {
    await upload(tintype, bytes, { fileName, useUniqueFileName: 'false' })
    expect((await get(fileName)).body.equals(bytes)).toBe(true)
    const answers = [await get(`${fileName}?tr=w-5,f-png`), await get(`${fileName}/ik-thumbnail.jpg`)]
    expect(answers.map(({ status }) => status)).toEqual([transformed, thumbnail])
    if (transformed === 200) expect(answers[0]!.body.equals(bytes)).toBe(true)
    else expect(answers[0]!.headers.get('ik-error')).toContain('cannot be transformed')
  },
)
