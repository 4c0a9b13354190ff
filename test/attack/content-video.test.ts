import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Canary, findStrace, processTree, startCanary } from '../support/attack.ts'
import { nestedUse, svg } from '../support/attack-images.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { type Server, startServer } from '../support/server.ts'

/** A file that a hostile playlist would like to have read. */
const BAIT = '/etc/hostname'

const strace = findStrace()
const reason = 'reason' in strace ? ` (the proof by strace is skipped: ${strace.reason})` : ''

let server: Server
let canary: Canary
let dir: string
beforeAll(async () => {
  canary = await startCanary()
  dir = await mkdtemp(join(tmpdir(), 'tintype-strace-'))
  // All processes that the server starts are watched too: which files they open, and whom they call.
  const command =
    'path' in strace
      ? [
          strace.path,
          ...[
            '-f',
            '--seccomp-bpf',
            '-qq',
            '-o',
            join(dir, 'calls'),
            '-e',
            'trace=open,openat,openat2,connect,execve',
          ],
          ...['-e', 'signal=none', process.execPath, 'src/main.ts'],
        ]
      : undefined
  server = await startServer({
    ...(command ? { command } : {}),
    env: { TINTYPE_ALLOW_PRIVATE_NETWORK: 'true', TINTYPE_TRANSFORM_SVG_TIMEOUT_MS: '1500' },
    timeoutMs: 60_000,
  })
})
afterAll(async () => {
  // A tracer that is killed lets go of what it traces; it ends by itself when that has ended.
  const [tracer, traced] = server ? processTree(server.pid) : []
  process.kill(('path' in strace ? traced : tracer)!, 'SIGTERM')
  await server?.ended
  await server?.dispose()
  await canary?.close()
  await rm(dir, { recursive: true, force: true })
})

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
const box = (type: string, ...parts: Buffer[]) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([u32(body.length + 8), Buffer.from(type, 'latin1'), body])
}
const FTYP = box('ftyp', Buffer.from('isom\0\0\0\0isommp42'))
const FULL = u32(0)

/** A film of one track; `duration` in units of `timescale`. */
function film(options: {
  timescale?: number
  duration?: number
  side?: number
  dref?: Buffer
  codec?: string
}): Buffer {
  const { timescale = 1000, duration = 1000, side = 64, codec = 'avc1' } = options
  const times = Buffer.concat([FULL, u32(0), u32(0), u32(timescale), u32(duration)])
  const matrix = Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32))
  const entry = Buffer.alloc(78)
  entry.writeUInt16BE(1, 6)
  entry.writeUInt16BE(side, 24)
  entry.writeUInt16BE(side, 26)
  const table = (type: string, ...rows: number[]) => box(type, FULL, ...rows.map(u32))
  const stbl = box(
    'stbl',
    box('stsd', FULL, u32(1), box(codec, entry)),
    table('stts', 1, 1, duration),
    table('stsc', 1, 1, 1, 1),
    table('stsz', 0, 1, 10),
    table('stco', 1, 1000),
  )
  const tkhd = box(
    'tkhd',
    Buffer.concat([u32(3), u32(0), u32(0), u32(1), u32(0), u32(duration), Buffer.alloc(16)]),
    matrix,
    u32(side << 16),
    u32(side << 16),
  )
  const hdlr = box('hdlr', FULL, u32(0), Buffer.from('vide'), Buffer.alloc(13))
  const dinf = options.dref ? [box('dinf', box('dref', FULL, u32(1), options.dref))] : []
  const mdia = box(
    'mdia',
    box('mdhd', times, Buffer.from([0x55, 0xc4, 0, 0])),
    hdlr,
    box('minf', ...dinf, stbl),
  )
  const mvhd = box('mvhd', times, Buffer.alloc(16), matrix, Buffer.alloc(24), u32(2))
  return Buffer.concat([FTYP, box('moov', mvhd, box('trak', tkhd, mdia)), box('mdat', Buffer.alloc(2000))])
}

/** Boxes in boxes. */
function nested(depth: number): Buffer {
  const bytes = Buffer.alloc(depth * 8)
  for (let level = 0; level < depth; level++) {
    bytes.writeUInt32BE(bytes.length - level * 8, level * 8)
    bytes.write(level === 0 ? 'moov' : 'trak', level * 8 + 4)
  }
  return Buffer.concat([FTYP, bytes])
}

/** Master playlists and the like behind bytes that a sniffer takes for a transport stream, a sound or a film. */
const PLAYLIST = `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://${BAIT}\n`
const MEDIA = `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://${BAIT}\n#EXT-X-ENDLIST\n`
const remote = () => `http://127.0.0.1:${canary.port}/x.ts`
const transportStream = (text: string) => {
  const packet = Buffer.alloc(188, 0xff)
  packet.set([0x47, 0x1f, 0xff, 0x10])
  return Buffer.concat([packet, packet, packet, packet, Buffer.from(text)])
}

const FILES: [what: string, name: string, make: () => string | Buffer][] = [
  ['E15 an HLS master playlist', 'master.mp4', () => PLAYLIST],
  ['an HLS playlist', 'media.mp4', () => MEDIA],
  ['an HLS playlist of a server', 'remote.mp4', () => `#EXTM3U\n#EXTINF:1,\n${remote()}\n#EXT-X-ENDLIST\n`],
  [
    'an HLS key',
    'key.mp4',
    () => `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="${remote()}"\n#EXTINF:1,\nfile://${BAIT}\n`,
  ],
  ['an HLS playlist by its own name', 'own.m3u8', () => PLAYLIST],
  [
    'an HLS playlist of concat:',
    'concat.mp4',
    () => `#EXTM3U\n#EXTINF:1,\nconcat:${BAIT}|file://${BAIT}\n#EXT-X-ENDLIST\n`,
  ],
  [
    'an HLS playlist of subfile',
    'subfile.mp4',
    () => `#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,9,,:${BAIT}\n#EXT-X-ENDLIST\n`,
  ],
  [
    'a DASH manifest',
    'dash.mp4',
    () =>
      `<?xml version="1.0"?><MPD type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>file://${BAIT}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  ],
  [
    'a DASH manifest by its own name',
    'own.mpd',
    () => `<MPD><Period><BaseURL>${remote()}</BaseURL></Period></MPD>`,
  ],
  ['a list for ffmpeg', 'list.mp4', () => `ffconcat version 1.0\nfile ${BAIT}\n`],
  [
    'a session description',
    'sdp.mp4',
    () =>
      `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video ${canary.port} RTP/AVP 96\n`,
  ],
  [
    'a playlist of a streaming server',
    'asx.mp4',
    () => `<asx version="3.0"><entry><ref href="${remote()}"/></entry></asx>`,
  ],
  ['a playlist behind a transport stream', 'ts.mp4', () => transportStream(PLAYLIST)],
  [
    'a playlist behind an ID3 tag',
    'id3.mp3',
    () => Buffer.concat([Buffer.from('ID3\x03\0\0\0\0\0\0', 'latin1'), Buffer.from(PLAYLIST)]),
  ],
  [
    'a playlist behind the beginning of a film',
    'ftyp.mp4',
    () => Buffer.concat([FTYP, Buffer.from(PLAYLIST)]),
  ],
  [
    'a playlist in an AVI (GAB2)',
    'gab2.avi',
    () =>
      Buffer.concat([
        Buffer.from('RIFF\xff\0\0\0AVI LIST\x40\0\0\0hdrl', 'latin1'),
        Buffer.from(`GAB2\0\x02\0\x02\0\0\0\0\0${PLAYLIST}`, 'latin1'),
      ]),
  ],
  [
    'a playlist in a Matroska file',
    'mkv.mkv',
    () =>
      Buffer.concat([Buffer.from('1a45dfa3a3428288', 'hex'), Buffer.from('matroska'), Buffer.from(PLAYLIST)]),
  ],
  [
    'a film whose data is elsewhere (url)',
    'dref-url.mp4',
    () => film({ dref: box('url ', FULL, Buffer.from(`file://${BAIT}\0`)) }),
  ],
  [
    'a film whose data is elsewhere (alis)',
    'dref-alis.mov',
    () => film({ dref: box('alis', FULL, Buffer.alloc(150), Buffer.from(`${BAIT}\0`)) }),
  ],
  ['a name that is an option', '-i.mp4', () => film({})],
  ['a name that is a pattern', '%03d.mp4', () => film({})],
  ['a name that is a protocol', 'http:127.0.0.1.mp4', () => film({})],
  ['C13 a length of 136 years', 'long.mp4', () => film({ timescale: 1, duration: 0xffffffff })],
  ['C13 a time scale of zero', 'zero.mp4', () => film({ timescale: 0 })],
  ['C13 a picture of 65535 pixels a side', 'large.mp4', () => film({ side: 65_535 })],
  ['C13 an unknown codec', 'codec.mp4', () => film({ codec: 'evil' })],
  ['C13 5,000 boxes in each other', 'nested.mp4', () => nested(5000)],
  [
    'C13 a film that claims four gigabytes of tables',
    'tables.mp4',
    () => Buffer.concat([FTYP, u32(0xfffffff0), Buffer.from('moov'), Buffer.alloc(500)]),
  ],
  [
    'C13 a Y4M of 16000x16000',
    'raw.y4m',
    () => `YUV4MPEG2 W16000 H16000 F25:1 Ip A1:1\nFRAME\n${'x'.repeat(1000)}`,
  ],
  [
    'C13 a WAV of four gigabytes in 60 bytes',
    'wav.wav',
    () =>
      Buffer.concat([
        Buffer.from(
          'RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\xff\xff\xff\xff',
          'latin1',
        ),
        Buffer.alloc(16),
      ]),
  ],
  [
    'C13 a FLAC without an end',
    'flac.flac',
    () =>
      Buffer.concat([
        Buffer.from('fLaC\0\0\0\x22', 'latin1'),
        Buffer.alloc(34, 0xff),
        Buffer.alloc(2000, 0xff),
      ]),
  ],
  [
    'C13 an Ogg of noise',
    'ogg.ogg',
    () => Buffer.concat([Buffer.from('OggS\0\x02', 'latin1'), Buffer.alloc(4000, 0x5a)]),
  ],
  [
    'C08 an ASF whose sizes are zero',
    'asf.wmv',
    () => Buffer.concat([Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex'), Buffer.alloc(4000)]),
  ],
]

describe(`C12 E15 films that name files and hosts${reason}`, () => {
  test.each(FILES)('C12 %s (%s)', async (_, name, make) => {
    const bytes = Buffer.from(make() as string)
    const before = canary.hits()
    const uploaded = await uploadFile(server, bytes, { fileName: name })
    expect(uploaded.status, uploaded.body.toString()).toBe(200)
    const file = uploaded.json()
    for (const number of [file.duration, file.bitRate, file.width, file.height]) {
      expect(number === undefined || Number.isFinite(number)).toBe(true)
    }
    if (file.duration !== undefined) expect(file.duration).toBeLessThanOrEqual(366 * 86_400)
    const path = new URL(file.url).pathname
    const headers = { authorization: basic(server.privateKey) }
    const metadata = await send(server, `/v1/files/${file.fileId}/metadata`, { headers })
    expect(metadata.status).toBeLessThan(500)
    const hostname = (await readFile(BAIT, 'utf8')).trim()
    if (hostname.length > 6) expect(metadata.body.toString()).not.toContain(hostname)
    for (const asked of [`${path}?tr=w-100`, `${path}/ik-thumbnail.jpg`]) {
      const answer = await send(server, asked)
      expect(answer.status === 501 || answer.status < 500, `${asked}: ${answer.status}`).toBe(true)
    }
    const original = await send(server, path)
    expect(original.status).toBe(200)
    expect(original.body.equals(bytes)).toBe(true)
    expect(canary.hits() - before).toBe(0)
  })

  test('S20 drawings that call out and take for ever do neither', async () => {
    const before = canary.hits()
    for (const drawing of [
      svg(`<image href="${remote()}" width="9" height="9"/>`),
      svg(`<image href="file://${BAIT}" width="9" height="9"/>`),
      nestedUse(8),
    ]) {
      const { url } = (await uploadFile(server, drawing, { fileName: 'x.svg' })).json()
      expect((await send(server, `${new URL(url).pathname}?tr=w-50,f-png`)).status).toBeLessThan(500)
    }
    expect(canary.hits() - before).toBe(0)
  })

  test.skipIf(reason)(
    'C10 C12 E15 S20 the trace: no bait was opened, nobody was called, no shell was started',
    async () => {
      const calls = (await readFile(join(dir, 'calls'), 'utf8')).split('\n')
      expect(calls.length).toBeGreaterThan(1000)
      expect(calls.filter((line) => line.includes(BAIT) && /open/.test(line))).toEqual([])
      const connects = calls.filter((line) => /connect\(/.test(line) && /AF_INET6?/.test(line))
      expect(connects).toEqual([])
      const programs = calls.flatMap((line) => /execve\("([^"]+)"/.exec(line)?.[1] ?? [])
      expect(new Set(programs.map((path) => path.split('/').at(-1)))).toEqual(
        new Set(programs.some((path) => path.endsWith('ffprobe')) ? ['node', 'ffprobe'] : ['node']),
      )
      // Whatever ffprobe got, it was told which formats it may open and by which way.
      for (const line of calls.filter((call) => /execve\(.*ffprobe/.test(call) && call.includes(' = 0'))) {
        expect(line).toContain('"-protocol_whitelist", "file", "-format_whitelist"')
      }
    },
  )
})
