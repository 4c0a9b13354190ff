import { describe, expect, test } from 'vitest'
import { box, u16le, u32be, u32le } from './build.ts'
import { inspectBytes } from './inspect-bytes.ts'

function wav(options: { seconds: number }): Buffer {
  const bytesPerSec = 8000
  const data = Buffer.alloc(options.seconds * bytesPerSec, 0x80)
  const format = Buffer.concat([u16le(1), u16le(1), u32le(8000), u32le(bytesPerSec), u16le(1), u16le(8)])
  const body = Buffer.concat([
    Buffer.from('WAVEfmt '),
    u32le(format.length),
    format,
    Buffer.from('data'),
    u32le(data.length),
    data,
  ])
  return Buffer.concat([Buffer.from('RIFF'), u32le(body.length), body])
}

const FULL = Buffer.alloc(4)
const MATRIX = Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32be))
const ftyp = box('ftyp', Buffer.from('isom\0\0\0\0isomavc1'))

/** A film of one track and no samples but those its tables speak of. */
function mp4(options: { timescale: number; duration: number; widthPx: number; heightPx: number }): Buffer {
  const { timescale, duration, widthPx, heightPx } = options
  const times = Buffer.concat([FULL, u32be(0), u32be(0), u32be(timescale), u32be(duration)])
  const entry = Buffer.alloc(78)
  entry.writeUInt16BE(1, 6)
  entry.writeUInt16BE(widthPx, 24)
  entry.writeUInt16BE(heightPx, 26)
  const avcC = box('avcC', Buffer.from([1, 66, 0, 30, 0xff, 0xe1, 0, 0, 1, 0, 0]))
  const table = (type: string, ...rows: number[]) => box(type, FULL, ...rows.map(u32be))
  const stbl = box(
    'stbl',
    box('stsd', FULL, u32be(1), box('avc1', entry, avcC)),
    table('stts', 1, 1, duration),
    table('stsc', 1, 1, 1, 1),
    table('stsz', 0, 1, 10),
    table('stco', 1, 1000),
  )
  const tkhd = box(
    'tkhd',
    Buffer.concat([
      Buffer.from([0, 0, 0, 3]),
      u32be(0),
      u32be(0),
      u32be(1),
      u32be(0),
      u32be(duration),
      Buffer.alloc(16),
    ]),
    MATRIX,
    u32be(widthPx << 16),
    u32be(heightPx << 16),
  )
  const hdlr = box('hdlr', FULL, u32be(0), Buffer.from('vide'), Buffer.alloc(13))
  const mdia = box('mdia', box('mdhd', times, Buffer.from([0x55, 0xc4, 0, 0])), hdlr, box('minf', stbl))
  const mvhd = box('mvhd', times, Buffer.alloc(10 + 6), MATRIX, Buffer.alloc(24), u32be(2))
  return Buffer.concat([ftyp, box('moov', mvhd, box('trak', tkhd, mdia)), box('mdat', Buffer.alloc(2000))])
}

test('a sound: length in whole seconds, bits a second, codec', async () => {
  const bytes = wav({ seconds: 2 })
  expect(await inspectBytes(bytes, 'a.txt')).toEqual({
    mime: 'audio/wav',
    format: 'wav',
    kind: 'audio',
    fileType: 'non-image',
    durationSec: 2,
    bitRate: Math.round((bytes.length * 8) / 2),
    audioCodec: 'pcm_u8',
    embedded: {},
  })
})

test('a film: size, length, codec', async () => {
  const bytes = mp4({ timescale: 1000, duration: 7583, widthPx: 720, heightPx: 480 })
  expect(await inspectBytes(bytes)).toMatchObject({
    mime: 'video/mp4',
    format: 'mp4',
    kind: 'video',
    fileType: 'non-image',
    widthPx: 720,
    heightPx: 480,
    durationSec: 7,
    bitRate: Math.round((bytes.length * 8) / 7.583),
    videoCodec: 'h264',
  })
})

describe('crafted films are stored without what they do not tell', () => {
  test.each<[string, Buffer]>([
    ['nothing behind the brand', ftyp],
    [
      'tables that claim three gigabytes',
      Buffer.concat([ftyp, u32be(0xc0000000), Buffer.from('moov'), Buffer.alloc(100)]),
    ],
    ['boxes in boxes', nested(3000)],
    ['a box of length 0 in a box', Buffer.concat([ftyp, box('moov', u32be(0), Buffer.from('trak'))])],
  ])('%s', async (_, bytes) => {
    const inspection = await inspectBytes(bytes)
    expect(inspection).toEqual({
      mime: 'video/mp4',
      format: 'mp4',
      kind: 'video',
      fileType: 'non-image',
      embedded: {},
    })
  })

  test('a time scale of zero', async () => {
    const { durationSec = 0, bitRate = 0 } = await inspectBytes(
      mp4({ timescale: 0, duration: 100, widthPx: 8, heightPx: 8 }),
    )
    // Whether it has a length depends on the reader; it is never a division by zero.
    expect([durationSec, bitRate].every(Number.isFinite)).toBe(true)
  })

  test('a length of a thousand years', async () => {
    const inspection = await inspectBytes(
      mp4({ timescale: 1, duration: 0x7fffffff, widthPx: 8, heightPx: 8 }),
    )
    expect(inspection.durationSec).toBeUndefined()
  })
})

test('a playlist named as a film opens nothing', async () => {
  const playlist = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:///etc/passwd\n'
  expect(await inspectBytes(Buffer.from(playlist), 'a.mp4')).toMatchObject({ kind: 'other', format: '' })
})

function nested(depth: number): Buffer {
  const bytes = Buffer.alloc(depth * 8)
  for (let level = 0; level < depth; level++) {
    bytes.writeUInt32BE(bytes.length - level * 8, level * 8)
    bytes.write(level === 0 ? 'moov' : 'trak', level * 8 + 4)
  }
  return Buffer.concat([ftyp, bytes])
}
