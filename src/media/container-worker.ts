import { parentPort, workerData } from 'node:worker_threads'
import {
  ADTS,
  FilePathSource,
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
import type { ContainerFacts } from './video.ts'

/** No playlist formats: their files name other files. */
const FORMATS = [MP4, QTFF, MATROSKA, WEBM, MP3, WAVE, OGG, FLAC, ADTS, MPEG_TS]

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
  const input = new Input({ source: new FilePathSource(path), formats: FORMATS })
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
  }
}

parentPort?.postMessage(await readContainer(workerData as string))
