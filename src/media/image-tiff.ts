import type { ByteSource } from './byte-source.ts'
import type { ImageHeader } from './image.ts'
import { numberOf, readTiff, type TiffDirectory } from './tiff.ts'

/** TIFF 6.0: the first directory describes the picture, the chain of directories gives the pages. */
export async function readTiffImage(bytes: ByteSource): Promise<ImageHeader> {
  const tiff = await readTiff(bytes)
  if (!tiff) return {}
  const { image } = tiff
  const widthPx = numberOf(image.get(0x0100))
  const heightPx = numberOf(image.get(0x0101))
  const header: ImageHeader = {
    ...(widthPx !== undefined && heightPx !== undefined && { widthPx, heightPx }),
    hasAlpha: hasAlphaSample(image),
    hasColorProfile: image.has(0x8773),
    ...orientationOf(image),
    ...densityOf(image),
  }
  if (tiff.pages > 1) header.pages = tiff.pages
  header.tiff = tiff
  const iptc = image.get(0x83bb)
  if (Buffer.isBuffer(iptc)) header.iptc = iptc
  const xmp = image.get(0x02bc)
  if (Buffer.isBuffer(xmp)) header.xmp = xmp
  return header
}

/** Orientation of a TIFF or EXIF directory, if it is one of the eight. */
export function orientationOf(image: TiffDirectory): { orientation?: number } {
  const orientation = numberOf(image.get(0x0112))
  return Number.isInteger(orientation) && orientation! >= 1 && orientation! <= 8
    ? { orientation: orientation! }
    : {}
}

/** Dots per inch of a TIFF or EXIF directory. */
export function densityOf(image: TiffDirectory): { density?: number } {
  const resolution = numberOf(image.get(0x011a))
  if (resolution === undefined || !Number.isFinite(resolution) || resolution <= 0) return {}
  const unit = numberOf(image.get(0x0128)) ?? 2
  if (unit !== 2 && unit !== 3) return {}
  return { density: Math.round(unit === 3 ? resolution * 2.54 : resolution) }
}

/** Extra samples 1 and 2 are associated and unassociated alpha; some writers only count four samples of RGB. */
function hasAlphaSample(image: TiffDirectory): boolean {
  const extra = image.get(0x0152)
  return Array.isArray(extra) && extra.some((kind) => kind === 1 || kind === 2)
}
