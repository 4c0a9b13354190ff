/** Changes image files where their formats have joints: what is left still looks like a file of its kind. */
import { crc32 } from 'node:zlib'

/** Numbers from 0 to below `limit`. */
export type Random = (limit: number) => number

/** Mulberry32: the same numbers for the same seed, everywhere. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
}

const NUMBERS = [
  0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe,
  0xffffffff,
]

/** A few changes to bytes, in place of which a parser expects something else. */
function scribble(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length === 0) return copy
  const times = 1 + random(4)
  for (let i = 0; i < times; i++) {
    const at = random(copy.length)
    switch (random(5)) {
      case 0:
        copy[at] = copy[at]! ^ (1 << random(8))
        break
      case 1:
        copy[at] = random(256)
        break
      case 2:
        if (at + 2 <= copy.length) copy.writeUInt16BE(NUMBERS[random(NUMBERS.length)]! & 0xffff, at)
        break
      case 3:
        if (at + 4 <= copy.length) copy.writeUInt32BE(NUMBERS[random(NUMBERS.length)]!, at)
        break
      default:
        if (at + 4 <= copy.length) copy.writeUInt32LE(NUMBERS[random(NUMBERS.length)]!, at)
    }
  }
  return copy
}

/** Takes one part away, doubles it, swaps two, or changes what is in one. */
function rearrange(parts: Buffer[], random: Random, change: (part: Buffer) => Buffer): Buffer[] {
  const result = [...parts]
  const times = 1 + random(3)
  for (let i = 0; i < times && result.length > 0; i++) {
    const at = random(result.length)
    const part = result[at]!
    switch (random(6)) {
      case 0:
        result.splice(at, 1)
        break
      case 1:
        result.splice(at, 0, part)
        break
      case 2: {
        const other = random(result.length)
        result[at] = result[other]!
        result[other] = part
        break
      }
      case 3:
        result.splice(at, 0, ...Array.from({ length: 1 + random(50) }, () => part))
        break
      default:
        result[at] = change(part)
    }
  }
  return result
}

/** Cuts a file at offsets. */
function cut(file: Buffer, offsets: number[]): Buffer[] {
  const all = [0, ...offsets, file.length]
  return all.slice(1).map((end, index) => file.subarray(all[index]!, end))
}

function mutateJpeg(file: Buffer, random: Random): Buffer {
  const offsets: number[] = []
  let at = 2
  while (at + 4 <= file.length && file[at] === 0xff && file[at + 1] !== 0xda) {
    offsets.push(at)
    at += 2 + file.readUInt16BE(at + 2)
  }
  offsets.push(Math.min(at, file.length))
  const [start, ...segments] = cut(file, offsets)
  const changed = rearrange(segments, random, (segment) => {
    const copy = scribble(segment, random)
    // Most of the time the length still fits, so that what follows is found.
    if (random(4) > 0 && copy.length >= 4 && segment !== segments.at(-1)) {
      segment.copy(copy, 0, 0, 2)
      copy.writeUInt16BE(copy.length - 2, 2)
    }
    return copy
  })
  return Buffer.concat([start!, ...changed])
}

function mutatePng(file: Buffer, random: Random): Buffer {
  const offsets: number[] = []
  for (let at = 8; at + 12 <= file.length; at += 12 + file.readUInt32BE(at)) offsets.push(at)
  const [signature, ...chunks] = cut(file, offsets)
  const changed = rearrange(chunks, random, (chunk) => {
    if (chunk.length < 12) return chunk
    const data = scribble(chunk.subarray(8, -4), random)
    const kept = random(5) === 0 ? data.subarray(0, random(data.length + 1)) : data
    const body = Buffer.concat([chunk.subarray(4, 8), kept])
    const head = Buffer.alloc(4)
    head.writeUInt32BE(kept.length)
    const check = Buffer.alloc(4)
    check.writeUInt32BE(crc32(body))
    return Buffer.concat([head, body, check])
  })
  return Buffer.concat([signature!, ...changed])
}

function mutateGif(file: Buffer, random: Random): Buffer {
  const table = file[10]! & 0x80 ? 3 * 2 ** ((file[10]! & 7) + 1) : 0
  const offsets = [6, 13]
  let at = 13 + table
  const skipBlocks = () => {
    while (at < file.length && file[at] !== 0) at += 1 + file[at]!
    at += 1
  }
  while (at < file.length && file[at] !== 0x3b) {
    offsets.push(at)
    if (file[at] === 0x21) {
      at += 2
      skipBlocks()
    } else if (file[at] === 0x2c) {
      const local = file[at + 9]! & 0x80 ? 3 * 2 ** ((file[at + 9]! & 7) + 1) : 0
      at += 11 + local
      skipBlocks()
    } else break
  }
  const [signature, ...blocks] = cut(file, offsets)
  return Buffer.concat([signature!, ...rearrange(blocks, random, (block) => scribble(block, random))])
}

function mutateRiff(file: Buffer, random: Random): Buffer {
  const offsets: number[] = []
  for (let at = 12; at + 8 <= file.length; ) {
    offsets.push(at)
    const size = file.readUInt32LE(at + 4)
    at += 8 + size + (size & 1)
  }
  const [, ...chunks] = cut(file, offsets)
  const changed = rearrange(chunks, random, (chunk) => {
    const copy = scribble(chunk, random)
    if (random(3) > 0) chunk.copy(copy, 0, 0, 8)
    return copy
  })
  const body = Buffer.concat([file.subarray(8, 12), ...changed])
  const head = Buffer.alloc(8)
  head.write('RIFF')
  head.writeUInt32LE(random(8) === 0 ? NUMBERS[random(NUMBERS.length)]! : body.length, 4)
  return Buffer.concat([head, body])
}

/** Boxes that hold boxes, and how many bytes of their own come first. */
const CONTAINERS: Record<string, number> = {
  meta: 4,
  iprp: 0,
  ipco: 0,
  moov: 0,
  trak: 0,
  mdia: 0,
  minf: 0,
  stbl: 0,
  dinf: 0,
  grpl: 0,
}

function mutateBoxes(file: Buffer, random: Random): Buffer {
  const offsets: number[] = []
  for (let at = 0; at + 8 <= file.length; ) {
    offsets.push(at)
    const size = file.readUInt32BE(at)
    if (size < 8) break
    at += size
  }
  const boxes = cut(file, offsets.slice(1))
  const changeBox = (box: Buffer): Buffer => {
    const type = box.toString('latin1', 4, 8)
    const own = CONTAINERS[type]
    const inside =
      own !== undefined && random(5) > 0
        ? Buffer.concat([box.subarray(8, 8 + own), mutateBoxes(box.subarray(8 + own), random)])
        : scribble(box.subarray(8), random)
    const head = Buffer.from(box.subarray(0, 8))
    head.writeUInt32BE(random(10) === 0 ? NUMBERS[random(NUMBERS.length)]! : inside.length + 8)
    return Buffer.concat([head, inside])
  }
  // What is large and means nothing is left alone, most of the time.
  const at = boxes.findIndex((box) => box.toString('latin1', 4, 8) === 'meta')
  if (at >= 0 && random(3) > 0) boxes[at] = changeBox(boxes[at]!)
  else return Buffer.concat(rearrange(boxes, random, changeBox))
  return Buffer.concat(boxes)
}

function mutateTiff(file: Buffer, random: Random): Buffer {
  const copy = Buffer.from(file)
  const isLittle = copy[0] === 0x49
  const read16 = (at: number) => (isLittle ? copy.readUInt16LE(at) : copy.readUInt16BE(at))
  const write32 = (value: number, at: number) =>
    isLittle ? copy.writeUInt32LE(value, at) : copy.writeUInt32BE(value, at)
  const directory = isLittle ? copy.readUInt32LE(4) : copy.readUInt32BE(4)
  if (directory + 2 > copy.length) return scribble(copy, random)
  const count = read16(directory)
  const times = 1 + random(4)
  for (let i = 0; i < times; i++) {
    const entry = directory + 2 + 12 * random(count)
    if (entry + 12 > copy.length) continue
    const value = random(2) === 0 ? NUMBERS[random(NUMBERS.length)]! : random(copy.length)
    switch (random(5)) {
      case 0:
        copy[entry + (isLittle ? 0 : 1)] = random(256)
        break
      case 1:
        copy[entry + (isLittle ? 2 : 3)] = random(14)
        break
      case 2:
        write32(value, entry + 4)
        break
      case 3:
        write32(value, entry + 8)
        break
      default:
        if (directory + 6 + 12 * count <= copy.length) write32(value, directory + 2 + 12 * count)
    }
  }
  return random(4) === 0 ? scribble(copy, random) : copy
}

const SVG_PARTS = [
  '<g>',
  '</g>',
  '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">',
  '<rect width="1e99" height="-1"/>',
  '<use href="#a"/>',
  '<g id="a"><use href="#a"/></g>',
  '<image href="data:image/png;base64,AAAA"/>',
  '<text font-size="1e9">a</text>',
  '<filter id="f"><feGaussianBlur stdDeviation="1e9"/></filter>',
  '<!--',
  '-->',
  '<![CDATA[',
  '&x;',
  '\0',
  ' width="1e99"',
  ' viewBox="0 0 0 0"',
  ' transform="matrix(1e99 0 0 1e-99 0 0)"',
  ' filter="url(#f)"',
]
const SVG_NUMBERS = ['0', '-1', '1e9', '1e-300', '1e309', 'NaN', '99999999999999999999', '.', '0x1f']

function mutateSvg(file: Buffer, random: Random): Buffer {
  const tokens = file.toString('utf8').split(/(<[^>]*>|[\d.]+)/)
  const times = 1 + random(6)
  for (let i = 0; i < times; i++) {
    const at = random(tokens.length)
    switch (random(4)) {
      case 0:
        tokens.splice(at, 1 + random(3))
        break
      case 1:
        tokens.splice(at, 0, tokens[random(tokens.length)] ?? '')
        break
      case 2:
        tokens.splice(at, 0, SVG_PARTS[random(SVG_PARTS.length)]!)
        break
      default:
        tokens[at] = (tokens[at] ?? '').replace(/[\d.]+/, SVG_NUMBERS[random(SVG_NUMBERS.length)]!)
    }
  }
  return Buffer.from(tokens.join(''))
}

const MUTATORS: Record<string, (file: Buffer, random: Random) => Buffer> = {
  jpg: mutateJpeg,
  png: mutatePng,
  gif: mutateGif,
  webp: mutateRiff,
  avif: mutateBoxes,
  heic: mutateBoxes,
  tiff: mutateTiff,
  svg: mutateSvg,
}

/** A file that was one of the given format. */
export function mutateImage(file: Buffer, format: string, random: Random): Buffer {
  const mutate = MUTATORS[format]
  const changed = mutate && random(10) > 0 ? mutate(file, random) : scribble(file, random)
  switch (random(20)) {
    case 0:
      return changed.subarray(0, random(changed.length + 1))
    case 1:
      return Buffer.concat([changed, changed.subarray(random(changed.length + 1))])
    case 2:
      return scribble(changed, random)
    default:
      return changed
  }
}
