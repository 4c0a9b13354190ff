import type { ByteSource } from './byte-source.ts'
import { type ImageHeader, MAX_BLOCK_BYTES } from './image.ts'

/** Top-level boxes looked at for the `meta` box. */
const MAX_BOXES = 64
const MAX_ITEMS = 4096

type Box = { type: string; body: Buffer }

/** AVIF and HEIC: properties of the primary item (ISO/IEC 23008-12). */
export async function readIsoImage(bytes: ByteSource): Promise<ImageHeader> {
  const meta = await findMeta(bytes)
  if (!meta) return {}
  const boxes = readBoxes(meta.subarray(4))
  const find = (type: string) => boxes.find((box) => box.type === type)?.body
  const primaryId = readPrimaryId(find('pitm'))
  const iprp = readBoxes(find('iprp'))
  const properties = readBoxes(iprp.find((box) => box.type === 'ipco')?.body)
  const associations = readAssociations(iprp.filter((box) => box.type === 'ipma').map((box) => box.body))
  const propertiesOf = (id: number) =>
    (associations.get(id) ?? []).flatMap((index) => properties[index - 1] ?? [])

  const header: ImageHeader = { hasAlpha: false, hasColorProfile: false }
  let rotation: number | undefined
  let mirror: number | undefined
  for (const { type, body } of primaryId === undefined ? [] : propertiesOf(primaryId)) {
    if (type === 'ispe' && body.length >= 12) {
      header.widthPx = body.readUInt32BE(4)
      header.heightPx = body.readUInt32BE(8)
    } else if (type === 'irot' && body.length >= 1) rotation = body[0]! & 3
    else if (type === 'imir' && body.length >= 1) mirror = body[0]! & 1
    else if (type === 'colr' && body.length >= 4) {
      const kind = body.toString('latin1', 0, 4)
      if (kind === 'prof' || kind === 'rICC') header.hasColorProfile = true
    }
  }
  if (rotation !== undefined || mirror !== undefined) {
    header.orientation = ORIENTATIONS[rotation ?? 0]![mirror === undefined ? 2 : mirror]!
  }
  for (const id of associations.keys()) {
    const isAlpha = propertiesOf(id).some(
      ({ type, body }) => type === 'auxC' && /:alpha$|auxid:1$/.test(textOf(body.subarray(4))),
    )
    if (isAlpha) header.hasAlpha = true
  }
  const items = readItems(find('iinf'))
  const locations = readLocations(find('iloc'))
  for (const item of items) {
    const location = locations.get(item.id)
    if (!location || location.length > MAX_BLOCK_BYTES) continue
    const read = async () => {
      if (location.inIdat)
        return (find('idat') ?? Buffer.alloc(0)).subarray(location.at, location.at + location.length)
      return bytes.read(location.at, location.length)
    }
    if (item.type === 'Exif' && !header.exif) header.exif = skipExifPrefix(await read())
    else if (item.type === 'mime' && item.contentType === 'application/rdf+xml') header.xmp ??= await read()
  }
  return header
}

/** EXIF orientation by rotation (quarters anti-clockwise), then by mirror (top with bottom, left with right, none). */
const ORIENTATIONS = [
  [4, 2, 1],
  [7, 5, 8],
  [2, 4, 3],
  [5, 7, 6],
]

async function findMeta(bytes: ByteSource): Promise<Buffer | undefined> {
  let at = 0
  for (let count = 0; count < MAX_BOXES; count++) {
    const start = await bytes.read(at, 16)
    if (start.length < 8) return undefined
    let length = start.readUInt32BE(0)
    let headBytes = 8
    if (length === 1 && start.length === 16) {
      length = Number(start.readBigUInt64BE(8))
      headBytes = 16
    } else if (length === 0) length = bytes.sizeBytes - at
    if (length < headBytes) return undefined
    if (start.toString('latin1', 4, 8) === 'meta')
      return bytes.read(at + headBytes, Math.min(length - headBytes, MAX_BLOCK_BYTES))
    at += length
  }
  return undefined
}

function readBoxes(data: Buffer | undefined): Box[] {
  const boxes: Box[] = []
  if (!data) return boxes
  let at = 0
  while (at + 8 <= data.length && boxes.length < MAX_ITEMS) {
    let length = data.readUInt32BE(at)
    let headBytes = 8
    if (length === 1) {
      if (at + 16 > data.length) break
      length = Number(data.readBigUInt64BE(at + 8))
      headBytes = 16
    } else if (length === 0) length = data.length - at
    if (length < headBytes) break
    boxes.push({
      type: data.toString('latin1', at + 4, at + 8),
      body: data.subarray(at + headBytes, at + length),
    })
    at += length
  }
  return boxes
}

function readPrimaryId(body: Buffer | undefined): number | undefined {
  if (!body) return undefined
  if (body[0] === 0) return body.length >= 6 ? body.readUInt16BE(4) : undefined
  return body.length >= 8 ? body.readUInt32BE(4) : undefined
}

/** Property indexes (1-based) of each item. */
function readAssociations(bodies: Buffer[]): Map<number, number[]> {
  const result = new Map<number, number[]>()
  for (const body of bodies) {
    if (body.length < 8) continue
    const cursor = createCursor(body, 8)
    const wideId = body[0]! >= 1
    const wideIndex = (body[3]! & 1) === 1
    const count = Math.min(body.readUInt32BE(4), MAX_ITEMS)
    for (let item = 0; item < count && !cursor.ended; item++) {
      const id = cursor.uint(wideId ? 4 : 2)
      const indexes: number[] = []
      for (let left = cursor.uint(1); left > 0; left--) {
        indexes.push(wideIndex ? cursor.uint(2) & 0x7fff : cursor.uint(1) & 0x7f)
      }
      if (!cursor.ended) result.set(id, indexes)
    }
  }
  return result
}

function readItems(body: Buffer | undefined): { id: number; type: string; contentType: string }[] {
  if (!body || body.length < 6) return []
  return readBoxes(body.subarray(body[0] === 0 ? 6 : 8)).flatMap(({ type, body: entry }) => {
    const version = entry[0]
    if (type !== 'infe' || (version !== 2 && version !== 3)) return []
    const cursor = createCursor(entry, 4)
    const id = cursor.uint(version === 2 ? 2 : 4)
    cursor.uint(2)
    const at = version === 2 ? 8 : 10
    if (cursor.ended) return []
    const itemType = entry.toString('latin1', at, at + 4)
    const nameEnd = entry.indexOf(0, at + 4)
    return [{ id, type: itemType, contentType: nameEnd < 0 ? '' : textOf(entry.subarray(nameEnd + 1)) }]
  })
}

type Location = { at: number; length: number; inIdat: boolean }

/** Where items lie; only those of one extent, as metadata is written. */
function readLocations(body: Buffer | undefined): Map<number, Location> {
  const result = new Map<number, Location>()
  if (!body || body.length < 8) return result
  const version = body[0]!
  const offsetBytes = body[4]! >> 4
  const lengthBytes = body[4]! & 15
  const baseBytes = body[5]! >> 4
  const indexBytes = version === 0 ? 0 : body[5]! & 15
  const cursor = createCursor(body, 6)
  const count = Math.min(cursor.uint(version < 2 ? 2 : 4), MAX_ITEMS)
  for (let item = 0; item < count && !cursor.ended; item++) {
    const id = cursor.uint(version < 2 ? 2 : 4)
    const method = version === 0 ? 0 : cursor.uint(2) & 15
    cursor.uint(2)
    const base = cursor.uint(baseBytes)
    const extents = cursor.uint(2)
    for (let extent = 0; extent < extents && !cursor.ended; extent++) {
      cursor.uint(indexBytes)
      const at = base + cursor.uint(offsetBytes)
      const length = cursor.uint(lengthBytes)
      if (!cursor.ended && extents === 1 && method <= 1) result.set(id, { at, length, inIdat: method === 1 })
    }
  }
  return result
}

/** Reads numbers one after the other; beyond the end it gives 0 and says so. */
function createCursor(data: Buffer, from: number) {
  let at = from
  let ended = false
  return {
    get ended() {
      return ended
    },
    uint(size: number): number {
      if (at + size > data.length) {
        ended = true
        return 0
      }
      const start = at
      at += size
      if (size === 0) return 0
      return size === 8 ? Number(data.readBigUInt64BE(start)) : data.readUIntBE(start, Math.min(size, 6))
    },
  }
}

function textOf(data: Buffer): string {
  const end = data.indexOf(0)
  return data.toString('latin1', 0, end < 0 ? Math.min(data.length, 256) : Math.min(end, 256))
}

/** The item begins with the offset of the TIFF structure after this number. */
function skipExifPrefix(item: Buffer): Buffer {
  if (item.length < 8) return item
  return item.subarray(4 + Math.min(item.readUInt32BE(0), item.length - 4))
}
