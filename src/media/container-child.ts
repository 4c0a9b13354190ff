import { open } from 'node:fs/promises'
import {
  ADTS,
  CustomSource,
  FLAC,
  Input,
  MATROSKA,
  MP3,
  MP4,
  MPEG_TS,
  OGG,
  QTFF,
  WAVE,
  WEBM,
} from 'mediabunny'
import type { ContainerAnswer, ContainerFacts } from './video.ts'

/** No playlist formats: their files name other files. */
const FORMATS = [MP4, QTFF, MATROSKA, WEBM, MP3, WAVE, OGG, FLAC, ADTS, MPEG_TS]

/** One read: a crafted box may claim any size, and the reader asks for all of it at once. */
const MAX_READ_BYTES = 64 * 1024 * 1024
/** All reads: tables of a long film take some tens of megabytes. */
const MAX_TOTAL_BYTES = 512 * 1024 * 1024

/** Names as ffprobe and the API print them. */
const CODEC_NAMES: Record<string, string> = {
  avc: 'h264',
  'pcm-s16': 'pcm_s16le',
  'pcm-s16be': 'pcm_s16be',
  'pcm-s24': 'pcm_s24le',
  'pcm-s24be': 'pcm_s24be',
  'pcm-s32': 'pcm_s32le',
  'pcm-s32be': 'pcm_s32be',
  'pcm-f32': 'pcm_f32le',
  'pcm-f32be': 'pcm_f32be',
  'pcm-u8': 'pcm_u8',
  ulaw: 'pcm_mulaw',
  alaw: 'pcm_alaw',
}

async function readContainer(path: string): Promise<ContainerFacts> {
  const file = await open(path, 'r')
  const { size } = await file.stat()
  let readBytes = 0
  const source = new CustomSource({
    getSize: () => size,
    async read(start, end) {
      readBytes += end - start
      if (end - start > MAX_READ_BYTES || readBytes > MAX_TOTAL_BYTES)
        throw new Error('the tables are too large')
      const bytes = new Uint8Array(end - start)
      await file.read(bytes, 0, bytes.length, start)
      return bytes
    },
    prefetchProfile: 'fileSystem',
    handleUnhandledError: () => {},
  })
  const input = new Input({ source, formats: FORMATS })
  try {
    if (!(await input.canRead())) return {}
    const [video, audio] = [await input.getPrimaryVideoTrack(), await input.getPrimaryAudioTrack()]
    const facts: ContainerFacts = { hasVideo: video !== null, hasAudio: audio !== null }
    if (video) {
      facts.widthPx = await video.getCodedWidth()
      facts.heightPx = await video.getCodedHeight()
      facts.rotation = await video.getRotation()
      const codec = await video.getCodec()
      if (codec) facts.videoCodec = CODEC_NAMES[codec] ?? codec
    }
    if (audio) {
      const codec = await audio.getCodec()
      if (codec) facts.audioCodec = CODEC_NAMES[codec] ?? codec
    }
    const tracks = [video, audio].filter((track) => track !== null)
    const end = (await input.getDurationFromMetadata(tracks)) ?? (await input.computeDuration(tracks))
    // The time stamps of a transport stream count from an arbitrary beginning.
    const start = (await input.getFormat()) === MPEG_TS ? await input.getFirstTimestamp(tracks) : 0
    facts.durationSec = end - start
    return facts
  } finally {
    input.dispose()
    await file.close()
  }
}

// The library warns of what it cannot read; the bytes of a file have no place in our log.
console.warn = () => {}

process.once('message', async (path: string) => {
  const answer: ContainerAnswer = await readContainer(path).then(
    (facts) => ({ facts }),
    (error: Error) => ({ failure: error.message }),
  )
  process.send?.(answer, () => process.disconnect())
})
