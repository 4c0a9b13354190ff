import { forkModule, runProgram } from '../kernel/exec.ts'
import type { Log } from '../kernel/log.ts'
import type { Inspection } from './media.ts'

/** Readings at one time: each may take a processor and this much memory for its objects. */
const MAX_CONCURRENT = 2
const MAX_CHILD_MIB = 128
/** Durations beyond a year are a damaged or hostile time scale. */
const MAX_DURATION_SEC = 366 * 86_400

/**
 * Demuxers that never open another file, whatever the bytes say: without the list ffprobe follows a playlist to
 * any path of the machine (trust E15).
 */
const FFPROBE_FORMATS = 'mov,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,mp3,wav,flac,aac'

/** What a container says of its tracks. */
export type ContainerFacts = {
  hasVideo?: boolean
  hasAudio?: boolean
  widthPx?: number
  heightPx?: number
  /** Clockwise degrees by which frames are turned for display. */
  rotation?: number
  durationSec?: number
  videoCodec?: string
  audioCodec?: string
}

export type VideoOptions = { timeoutMs: number; ffprobe: string }

type TimedFacts = Pick<
  Inspection,
  'kind' | 'widthPx' | 'heightPx' | 'orientation' | 'durationSec' | 'bitRate' | 'videoCodec' | 'audioCodec'
>

/**
 * Reads the tracks of a video or sound file with our own reader, and with ffprobe for what that cannot tell.
 * @returns whatever could be told within the time limit; never throws.
 */
export async function readTimedMedia(
  file: { path: string; sizeBytes: number; kind: 'video' | 'audio' },
  options: VideoOptions,
  log: Log,
): Promise<TimedFacts> {
  return limited(async () => {
    let facts = await readInChild(file.path, options.timeoutMs).catch((error): ContainerFacts => {
      log.info({ err: error }, 'a container could not be read')
      return {}
    })
    if (isIncomplete(facts, file.kind)) {
      const probed = await probe(file.path, options).catch((error): ContainerFacts => {
        log.info({ err: error }, 'a container could not be probed')
        return {}
      })
      facts = { ...facts, ...probed }
    }
    return checkedFacts(facts, file)
  })
}

function isIncomplete(facts: ContainerFacts, kind: 'video' | 'audio'): boolean {
  if (!facts.hasVideo && !facts.hasAudio) return true
  if (kind === 'video' && !facts.hasVideo) return true
  return (
    (facts.hasVideo && !facts.videoCodec) ||
    (facts.hasAudio && !facts.audioCodec) ||
    !isDuration(facts.durationSec)
  )
}

function isDuration(seconds: number | undefined): seconds is number {
  return seconds !== undefined && seconds > 0 && seconds <= MAX_DURATION_SEC
}

function checkedFacts(
  facts: ContainerFacts,
  file: { sizeBytes: number; kind: 'video' | 'audio' },
): TimedFacts {
  const result: TimedFacts = { kind: facts.hasVideo ? 'video' : facts.hasAudio ? 'audio' : file.kind }
  if (isSide(facts.widthPx) && isSide(facts.heightPx)) {
    result.widthPx = facts.widthPx
    result.heightPx = facts.heightPx
    const orientation = { 90: 6, 180: 3, 270: 8 }[facts.rotation ?? 0]
    if (orientation !== undefined) result.orientation = orientation
  }
  if (isDuration(facts.durationSec)) {
    result.durationSec = Math.floor(facts.durationSec)
    result.bitRate = Math.round((file.sizeBytes * 8) / facts.durationSec)
  }
  if (facts.videoCodec) result.videoCodec = facts.videoCodec
  if (facts.audioCodec) result.audioCodec = facts.audioCodec
  return result
}

function isSide(px: number | undefined): px is number {
  return px !== undefined && Number.isInteger(px) && px > 0 && px < 2 ** 31
}

let running = 0
const queue: (() => void)[] = []

async function limited<T>(work: () => Promise<T>): Promise<T> {
  while (running >= MAX_CONCURRENT) await new Promise<void>((resolve) => queue.push(resolve))
  running++
  try {
    return await work()
  } finally {
    running--
    queue.shift()?.()
  }
}

/** What the child process sends. */
export type ContainerAnswer = { facts: ContainerFacts } | { failure: string }

/**
 * A process for each file: one that runs away on crafted tables is killed without the rest noticing. A thread is
 * not enough, since a failed assertion in the runtime ends the whole process.
 */
function readInChild(path: string, timeoutMs: number): Promise<ContainerFacts> {
  return new Promise((resolve, reject) => {
    // Type stripping runs the sources; the published package holds compiled files beside each other.
    const file = import.meta.url.endsWith('.ts') ? './container-child.ts' : './container-child.js'
    const child = forkModule({
      module: new URL(file, import.meta.url),
      execArgv: [`--max-old-space-size=${MAX_CHILD_MIB}`],
    })
    const timer = setTimeout(() => {
      child.kill()
      reject(new Error('reading the container took too long'))
    }, timeoutMs)
    child.onMessage((message) => {
      const answer = message as ContainerAnswer
      if ('facts' in answer) resolve(answer.facts)
      else reject(new Error(answer.failure))
    })
    child.onExit(({ exitCode, signal }) => {
      clearTimeout(timer)
      reject(new Error(`the reader of containers ended with ${exitCode ?? signal}`))
    })
    child.send(path)
  })
}

async function probe(path: string, options: VideoOptions): Promise<ContainerFacts> {
  const result = await runProgram({
    program: options.ffprobe,
    args: [
      ...['-v', 'error', '-protocol_whitelist', 'file', '-format_whitelist', FFPROBE_FORMATS],
      ...[
        '-show_entries',
        'format=duration:stream=codec_type,codec_name,width,height:stream_disposition=attached_pic',
      ],
      ...['-show_entries', 'stream_side_data=rotation', '-of', 'json', '-i', `file:${path}`],
    ],
    timeoutMs: options.timeoutMs,
    maxOutputBytes: 1024 * 1024,
  })
  if (result.exitCode !== 0) throw new Error(`ffprobe ended with ${result.exitCode}: ${result.stderr}`)
  const output = JSON.parse(result.stdout.toString('utf8')) as ProbeOutput
  const streams = output.streams ?? []
  const video = streams.find((stream) => stream.codec_type === 'video' && !stream.disposition?.attached_pic)
  const audio = streams.find((stream) => stream.codec_type === 'audio')
  const facts: ContainerFacts = { hasVideo: video !== undefined, hasAudio: audio !== undefined }
  if (video) {
    Object.assign(facts, { widthPx: video.width, heightPx: video.height })
    // ffprobe counts anti-clockwise.
    const rotation = video.side_data_list?.find((data) => data.rotation !== undefined)?.rotation
    if (rotation !== undefined) facts.rotation = (360 - (rotation % 360)) % 360
    if (video.codec_name) facts.videoCodec = video.codec_name
  }
  if (audio?.codec_name) facts.audioCodec = audio.codec_name
  const durationSec = Number(output.format?.duration)
  if (isDuration(durationSec)) facts.durationSec = durationSec
  return facts
}

type ProbeOutput = {
  format?: { duration?: string }
  streams?: {
    codec_type?: string
    codec_name?: string
    width?: number
    height?: number
    disposition?: { attached_pic?: number }
    side_data_list?: { rotation?: number }[]
  }[]
}
