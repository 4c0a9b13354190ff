import { crc32, deflateSync } from 'node:zlib'

/**
 * A valid PNG of one colour, small and made in place, for tests where the picture does not matter.
 * @param seed makes the bytes, and so the content hash, differ.
 */
export function png(widthPx = 4, heightPx = 3, seed = 0): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(widthPx, 0)
  header.writeUInt32BE(heightPx, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const row = Buffer.alloc(1 + widthPx * 3)
  for (let at = 1; at < row.length; at++) row[at] = (seed >> (8 * (at % 3))) & 255
  const pixels = Buffer.concat(Array.from({ length: heightPx }, () => row))
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(pixels)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const out = Buffer.alloc(body.length + 8)
  out.writeUInt32BE(data.length, 0)
  body.copy(out, 4)
  out.writeUInt32BE(crc32(body), body.length + 4)
  return out
}
