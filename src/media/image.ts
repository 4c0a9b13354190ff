import { type ByteSource, createByteSource } from './byte-source.ts'
import { readIsoImage } from './image-iso.ts'
import { readJp2, readJxl } from './image-jp.ts'
import { readJpeg } from './image-jpeg.ts'
import { readPng } from './image-png.ts'
import { readBmp, readGif, readIco, readPsd } from './image-simple.ts'
import { densityOf, orientationOf, readTiffImage } from './image-tiff.ts'
import { readWebp } from './image-webp.ts'
import { readSvgSize, readXmlRoot } from './svg.ts'
import { readTiff, type TiffFile } from './tiff.ts'

/** Blocks of embedded metadata beyond this are left out: protects memory and time from files that are mostly metadata. */
export const MAX_BLOCK_BYTES = 1024 * 1024

/** What an image's headers say. Absent: does not apply, or could not be read. */
export type ImageHeader = {
  /** Size as stored. */
  widthPx?: number
  heightPx?: number
  hasAlpha?: boolean
  /** EXIF orientation 1–8, or the same from a container's own rotation. */
  orientation?: number
  pages?: number
  /** Dots per inch. */
  density?: number
  hasColorProfile?: boolean
  /** Estimate of a JPEG's quality setting, 1–100. */
  quality?: number
  /** The directories of `exif`, or of a TIFF file itself. */
  tiff?: TiffFile
  /** A TIFF structure, from its byte order mark on. */
  exif?: Buffer
  /** IPTC IIM records; `iptcIsLast` when they follow the XMP packet in the file. */
  iptcIsLast?: boolean
  iptc?: Buffer
  /** The XMP packet, and the part of it that did not fit into a JPEG segment: XML. */
  xmp?: Buffer
  extendedXmp?: Buffer
}

const READERS: Record<string, (bytes: ByteSource) => Promise<ImageHeader>> = {
  jpg: readJpeg,
  png: readPng,
  gif: readGif,
  webp: readWebp,
  avif: readIsoImage,
  heic: readIsoImage,
  tiff: readTiffImage,
  bmp: readBmp,
  ico: readIco,
  psd: readPsd,
  svg: readSvg,
  jp2: readJp2,
  jxl: readJxl,
}

/**
 * Reads an image's headers; pixels are never decoded, so a bomb costs what its header costs.
 * @returns an empty header for what is broken or not known here.
 */
export async function readImageHeader(format: string, bytes: ByteSource): Promise<ImageHeader> {
  const reader = Object.hasOwn(READERS, format) ? READERS[format] : undefined
  if (!reader) return {}
  const header = await reader(bytes)
  if (header.exif) await addExifFacts(header, format)
  if (!isSide(header.widthPx) || !isSide(header.heightPx)) {
    delete header.widthPx
    delete header.heightPx
  }
  return header
}

/** What a crafted file gives may be a fraction, endless, or beyond what the database holds. */
function isSide(px: number | undefined): boolean {
  return px !== undefined && Number.isInteger(px) && px > 0 && px < 2 ** 31
}

async function addExifFacts(header: ImageHeader, format: string) {
  const block = header.exif!
  const tiff = await readTiff(createByteSource({ head: block, sizeBytes: block.length, localPath: noFile }))
  if (!tiff) return
  header.tiff = tiff
  // The rotation of HEIC and AVIF is a property of the container; decoders leave that of EXIF alone.
  if (format !== 'heic' && format !== 'avif') Object.assign(header, orientationOf(tiff.image))
  Object.assign(header, densityOf(tiff.image))
}

async function noFile(): Promise<string> {
  throw new Error('a block of metadata has no file')
}

async function readSvg(bytes: ByteSource): Promise<ImageHeader> {
  const root = readXmlRoot(await bytes.read(0, 256 * 1024))
  return { hasAlpha: true, ...(root && readSvgSize(root.attributes)) }
}
