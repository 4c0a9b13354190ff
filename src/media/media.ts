/** What the bytes of a file say about it, as far as an upload needs it. Absent means: does not apply, or could not be read. */
export type Inspection = {
  /** From the bytes; text formats by the file name's extension; `application/octet-stream` if unknown. */
  mime: string
  /** Short name as the API's search uses it: `jpg`, `png`, `mp4`, `pdf`, … ; empty if unknown. */
  format: string
  /** `image` or `non-image` (contract notes 1.1). */
  fileType: 'image' | 'non-image'
  kind: 'image' | 'video' | 'audio' | 'text' | 'document' | 'other'
  /** Size as stored, before any EXIF rotation is applied. */
  widthPx?: number
  heightPx?: number
  /** EXIF orientation 1–8. */
  orientation?: number
  /** Whether the image has an alpha channel (not: whether a pixel is transparent). */
  hasAlpha?: boolean
  /** Frames of an animation, pages of a document. */
  pages?: number
  durationSec?: number
  /** Bits per second. */
  bitRate?: number
  videoCodec?: string
  audioCodec?: string
  /** EXIF, IPTC and XMP in one flat object with ExifTool's names and values, e.g. `Orientation: "Horizontal (normal)"`. Empty if none. */
  embedded: Record<string, unknown>
}

export type InspectionSource = {
  /** First bytes of the file, at most 256 KiB. */
  head: Buffer
  sizeBytes: number
  /** Sanitised file name; only its extension is used, and only for text formats. */
  name: string
  /** Gives a local file with the bytes; called only where `head` does not suffice. */
  localPath(): Promise<string>
}

/** The legacy EXIF tree of `metadata.exif`: raw numbers and strings, grouped as the OpenAPI's `Metadata` shows. */
export type ExifTree = {
  image: Record<string, unknown>
  thumbnail: Record<string, unknown>
  exif: Record<string, unknown>
  gps: Record<string, unknown>
  interoperability: Record<string, unknown>
  makernote: Record<string, unknown>
}
