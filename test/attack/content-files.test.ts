import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { json } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, put } from '../support/api.ts'
import { canReadProc, peakMbDuring, residentMb } from '../support/attack.ts'
import { svg, tiffStrip } from '../support/attack-images.ts'
import { isCluster } from '../support/cluster-server.ts'
import { basic, send } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype({
    env: { TINTYPE_UPLOAD_MAX_FILE_BYTES: '3000000', TINTYPE_UPLOAD_MAX_VIDEO_BYTES: '3000000' },
  })
})
afterAll(() => tintype?.stop())

/** Of any number of bytes: what is on its way between the connection, the decoder and the disk. */
const MOST_RISE_MB = 150

/** Uploads bytes as a base64 text, without ever having more than a piece of it. */
async function sendBase64(server: Server, sizeBytes: number, fileName: string) {
  const boundary = 'a-boundary-that-is-in-no-text'
  const part = (name: string) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`
  // No multiple of three, so that pieces and quartets do not fall together, and never the same at the same place.
  const piece = randomBytes(120_000)
  const hash = createHash('sha256')
  function* body() {
    yield `${part('fileName')}${fileName}\r\n${part('useUniqueFileName')}false\r\n${part('file')}`
    for (let left = sizeBytes; left > 0; left -= piece.length) {
      piece.writeUInt32BE(left, 0)
      const bytes = piece.subarray(0, Math.min(left, piece.length))
      hash.update(bytes)
      yield bytes.toString('base64')
    }
    yield `\r\n--${boundary}--\r\n`
  }
  const request = httpRequest(`${server.url}/api/v1/files/upload`, {
    method: 'POST',
    headers: {
      authorization: basic(server.privateKey),
      'content-type': `multipart/form-data; boundary=${boundary}`,
    },
  })
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  await pipeline(Readable.from(body()), request)
  const [response] = await answered
  const { size } = (await json(response)) as { size?: number }
  return { status: response.statusCode, size, sha256: hash.digest('hex') }
}

const stored = async (body: Record<string, unknown>) =>
  (await send(tintype, new URL(String(body.url)).pathname)).body
const picture = png(20, 10, 0xfffefd)
const plain = picture.toString('base64')

describe('2.5 base64: one documented rule', () => {
  test.each<[string, string, Buffer]>([
    ['B01 plain', plain, picture],
    ['B01 a data URI', `data:image/png;base64,${plain}`, picture],
    ['B01 a data URI in capitals', `DATA:image/png;BASE64,${plain}`, picture],
    ['B01 a data URI without a type', `data:;base64,${plain}`, picture],
    ['B01 with line breaks', plain.replace(/.{64}/g, '$&\r\n'), picture],
    ['B01 URL-safe', plain.replaceAll('+', '-').replaceAll('/', '_'), picture],
    ['B01 without padding', plain.replace(/=+$/, ''), picture],
    ['B04 letters that begin like a URL', Buffer.from('http').toString('base64'), Buffer.from('http')],
    ['B04 "httpABCD" is base64, since no :// follows', 'httpABCD', Buffer.from('httpABCD', 'base64')],
  ])('%s gives the same bytes', async (_, text, bytes) => {
    const { status, body } = await upload(tintype, text, { fileName: 'b.png' })
    expect(status, JSON.stringify(body)).toBe(200)
    expect((await stored(body)).equals(bytes)).toBe(true)
  })

  test.each([
    ['B02 one bad character', `${plain.slice(0, 40)}*${plain.slice(40)}`],
    ['B02 a plus turned into a space', `${plain.slice(0, 40)} ${plain.slice(41)}`],
    ['B02 a NUL', `${plain.slice(0, 40)}\0${plain.slice(40)}`],
    ['B02 a wide letter', `${plain.slice(0, 40)}Ａ${plain.slice(40)}`],
    ['B02 padding in the middle', `${plain.slice(0, 40)}==${plain.slice(40)}`],
    ['B02 three paddings', `${plain.slice(0, 41)}===`],
    ['B02 padding alone', '===='],
    ['B02 one letter', 'A'],
    ['B02 five letters', 'AAAAA'],
    ['B02 a quoted text', `"${plain}"`],
    ['B02 percent encoding', encodeURIComponent(plain)],
    ['B04 a data URI that is not base64', 'data:text/plain,hello'],
    ['B04 an empty data URI', 'data:image/png;base64,'],
    ['B04 a data URI without a comma', `data:image/png;base64;${plain}`],
    ['B04 a data URI in a data URI', `data:image/png;base64,data:image/png;base64,${plain}`],
    ['B04 http:/ with one slash', 'http:/127.0.0.1/'],
  ])('%s is refused', async (_, text) => {
    const { status, body } = await upload(tintype, text, { fileName: 'b.png' })
    expect(status, JSON.stringify(body)).toBe(400)
    expect(body.message).toMatch(/file/)
  })

  test('B03 what would become larger than the limit is refused, what would not is taken', async () => {
    const limit = Buffer.alloc(3_000_000, 7)
    const taken = await upload(tintype, limit.toString('base64'), { fileName: 'l.bin' })
    expect(taken.status, JSON.stringify(taken.body)).toBe(200)
    expect(taken.body.size).toBe(3_000_000)
    const refused = await upload(tintype, Buffer.alloc(3_000_001, 7).toString('base64'), {
      fileName: 'l.bin',
    })
    expect(refused.status).toBe(400)
    expect(refused.body.message).toContain('exceeds limits')
  })

  test.skipIf(!canReadProc || isCluster)(
    `B03 150 MB, and twice at once, raise the memory of the server by less than ${MOST_RISE_MB} MB`,
    async () => {
      const server = await startServer({
        env: { TINTYPE_UPLOAD_MAX_FILE_BYTES: '200000000', TINTYPE_LOG_LEVEL: 'error' },
      })
      try {
        // What is loaded on demand is there before.
        expect((await sendBase64(server, 5_000_000, 'warm.bin')).status).toBe(200)
        const idleMb = residentMb(server.pid)
        const { result, peakMb } = await peakMbDuring(server.pid, async () => [
          await sendBase64(server, 150_000_000, 'one.bin'),
          ...(await Promise.all(
            ['two.bin', 'three.bin'].map((name) => sendBase64(server, 150_000_000, name)),
          )),
        ])
        for (const { status, size } of result)
          expect({ status, size }).toEqual({ status: 200, size: 150_000_000 })
        const response = await fetch(`${server.endpoint}/three.bin`)
        const hash = createHash('sha256')
        for await (const bytes of response.body!) hash.update(bytes)
        expect(hash.digest('hex')).toBe(result[2]!.sha256)
        expect(peakMb - idleMb).toBeLessThan(MOST_RISE_MB)
      } finally {
        await server.dispose()
      }
    },
  )

  test.each([
    ['text/html', 'x.png', Buffer.from('<script>alert(1)</script>')],
    ['image/svg+xml', 'x.png', picture],
    ['text/html', 'x.txt', Buffer.from('<script>alert(1)</script>')],
    ['application/javascript', 'x.bin', Buffer.from('alert(1)')],
  ])('B05 the type of data:%s for %s comes from the bytes and the name', async (type, fileName, bytes) => {
    const { body } = await upload(tintype, `data:${type};base64,${bytes.toString('base64')}`, { fileName })
    const answer = await send(tintype, new URL(String(body.url)).pathname)
    expect(answer.headers['content-type']).not.toContain(type)
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
  })
})

/** A zip of one entry, packed. */
function zip(name: string, bytes: Buffer): Buffer {
  const packed = deflateRawSync(bytes, { level: 9 })
  const sizes = Buffer.alloc(16)
  sizes.writeUInt32LE(packed.length, 4)
  sizes.writeUInt32LE(bytes.length, 8)
  sizes.writeUInt16LE(name.length, 12)
  const local = Buffer.concat([
    Buffer.from('504b0304140000000800000000', 'hex'),
    Buffer.alloc(1),
    sizes,
    Buffer.from(name),
    packed,
  ])
  const central = Buffer.concat([
    Buffer.from('504b010214001400000008000000', 'hex'),
    Buffer.alloc(2),
    sizes,
    Buffer.alloc(14),
    Buffer.from(name),
  ])
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 0, 'latin1')
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(local.length, 16)
  return Buffer.concat([local, central, end])
}

const NOISE = Buffer.from(
  Array.from({ length: 5000 }, (_, index) => (index * 7919 + (index >> 3) * 104_729) & 255),
)
const EICAR = Buffer.from(
  'WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNULUZJTEUhJEgrSCo=',
  'base64',
)

describe('2.7 files that are not what they seem', () => {
  test.each<[string, string, Buffer]>([
    ['C07 the test string of virus scanners', 'virus.com', EICAR],
    [
      'C07 a program named as a picture',
      'program.png',
      Buffer.from('MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff', 'latin1'),
    ],
    ['C07 a shell script named as a picture', 'script.jpg', Buffer.from('#!/bin/sh\nrm -rf /\n')],
    ['C07 a PHP page named as a picture', 'page.gif', Buffer.from('GIF89a<?php system($_GET[0]); ?>')],
    [
      'C07 a picture with a page behind it',
      'tail.png',
      Buffer.concat([picture, Buffer.from('<script>alert(1)</script>')]),
    ],
    ['C07 a picture with an archive behind it', 'archive.png', Buffer.concat([picture, zip('a', NOISE)])],
    ['C08 noise', 'noise.jpg', NOISE],
    ['C08 zeros', 'zeros.png', Buffer.alloc(5000)],
    ['C08 one byte', 'one.gif', Buffer.from('G')],
    ['C08 a picture cut in its header', 'cut.png', picture.subarray(0, 20)],
    ['C08 a picture cut in its pixels', 'cut2.png', picture.subarray(0, -20)],
    ['C08 a PNG named .jpg', 'wrong.jpg', picture],
    ['C08 a PNG named .html', 'wrong.html', picture],
    ['C08 a PNG without an extension', 'wrong', picture],
    [
      'C08 an endless ID3 tag',
      'id3.mp3',
      Buffer.concat([Buffer.from('ID3\x04\0\0\x7f\x7f\x7f\x7f', 'latin1'), Buffer.alloc(4000)]),
    ],
    [
      'C08 an ASF of zero sizes',
      'asf.wmv',
      Buffer.concat([Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex'), Buffer.alloc(5000)]),
    ],
    ['C08 a document that is an archive', 'a.docx', zip('[Content_Types].xml', Buffer.from('<x/>'))],
    [
      'C08 a Matroska of nested zeros',
      'a.mkv',
      Buffer.concat([Buffer.from('1a45dfa3ff', 'hex'), Buffer.alloc(5000)]),
    ],
    ['C15 a TIFF that a data URI would call PNG', 'tiff.png', tiffStrip(4, 4)],
    ['C15 a portable pixmap', 'a.ppm', Buffer.from('P6\n2000 2000\n255\n')],
    [
      'C15 a format of libvips itself',
      'a.v',
      Buffer.concat([Buffer.from('b6a6f208', 'hex'), Buffer.alloc(200)]),
    ],
    [
      'C15 a radiance picture',
      'a.hdr',
      Buffer.from('#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n'),
    ],
    ['C15 comma separated values', 'a.mat', Buffer.from('1,2\n3,4\n')],
    ['C17 an archive that unpacks to 50 MB', 'bomb.zip', zip('a', Buffer.alloc(50_000_000))],
    ['C17 an archive whose entry climbs', 'slip.zip', zip('../../../../tmp/evil', NOISE)],
    ['C17 a packed drawing', 'bomb.svgz', gzipSync(Buffer.concat([svg(' '.repeat(40_000_000))]))],
    ['C17 a packed stream', 'bomb.zz', deflateSync(Buffer.alloc(50_000_000))],
  ])('%s (%s) is stored unchanged and served inert', async (_, name, bytes) => {
    const { status, body } = await upload(tintype, bytes, { fileName: name })
    expect(status, JSON.stringify(body)).toBe(200)
    const path = new URL(String(body.url)).pathname
    const answer = await send(tintype, path)
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    expect(answer.headers['content-security-policy']).toMatch(/^default-src 'none';.*sandbox$/)
    const type = String(answer.headers['content-type'])
    if (!/^(image|video|audio|text\/plain|application\/pdf)/.test(type)) {
      expect(answer.headers['content-disposition']).toMatch(/^attachment/)
    }
    const shown = await send(tintype, `${path}?tr=w-10`)
    expect(shown.status === 501 || shown.status < 500, String(shown.status)).toBe(true)
    expect((await call(tintype, 'GET', `/v1/files/${body.fileId}/metadata`)).status).toBeLessThan(500)
  })

  test.each(['a.png', 'a.txt', 'a.svg', 'a'])('C08 an empty file named %s is refused', async (name) => {
    const { status, body } = await upload(tintype, Buffer.alloc(0), { fileName: name })
    expect(status, JSON.stringify(body)).toBe(400)
    expect(body.message).toMatch(/file/)
  })

  test('C18 of two files with the same bytes one is deleted, and the other is still there', async () => {
    const bytes = png(9, 9, 0x424242)
    const one = await put(tintype, '/same/one.png', bytes)
    const two = await put(tintype, '/same/two.png', bytes)
    expect((await call(tintype, 'DELETE', `/v1/files/${one.fileId}`)).status).toBe(204)
    expect((await send(tintype, '/demo/same/one.png')).status).toBe(404)
    const left = await send(tintype, '/demo/same/two.png')
    expect(left.status).toBe(200)
    expect(left.body.equals(bytes)).toBe(true)
    expect((await call(tintype, 'DELETE', `/v1/files/${two.fileId}`)).status).toBe(204)
  })
})
