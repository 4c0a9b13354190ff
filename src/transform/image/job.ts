import type { Chain, Quantity } from '../ast.ts'
import type { PlanLimits } from '../plan.ts'

/** A file to decode. `path` is made by us. */
export type SourceFile = {
  path: string
  /** Short name from the inspection of the bytes: `jpg`, `heic`, `svg`, … */
  format: string
  sizeBytes: number
  customCoordinates?: string | null
}

export type OutputFormat = 'jpg' | 'png' | 'webp' | 'avif' | 'gif'

export type Output = {
  format: OutputFormat
  /** 1–100, for lossy formats. */
  quality: number
  lossless: boolean
  progressive: boolean
  keepColorProfile: boolean
  keepMetadata: boolean
  /** Pixels per inch to note in the file, or how they are worked out; null for the format's default. */
  density: Quantity | null
}

export type RenderLimits = PlanLimits & {
  /** Pixels of the source, all frames together. */
  maxInputPx: number
  /** Pixels of AVIF and HEIC sources, whose decoders need about 20 bytes a pixel. */
  maxHeifPx: number
  /** Bytes that decoding may take where a format needs all pixels at once. */
  maxDecodeBytes: number
  /** Bytes of an SVG source: it is parsed as a whole. */
  maxSvgBytes: number
  /** Bytes of a PDF source, for the same reason. */
  maxPdfBytes: number
  maxOutputBytes: number
}

export type EncoderPolicy = { webpEffort: number; avifEffort: number }

export type RenderJob = {
  kind: 'render'
  source: SourceFile
  chain: Chain
  output: Output
  /** Files of image layers by the path that the chain names. */
  layers: Record<string, SourceFile>
  /** Font files by the path that the chain names. */
  fonts: Record<string, string>
  hints: { widthPx?: number; dpr?: number }
  autoOrient: boolean
  limits: RenderLimits
  encoder: EncoderPolicy
  /** Where the result is written. */
  outputPath: string
}

export type AnalyseJob = { kind: 'analyse'; source: SourceFile; limits: RenderLimits }
export type Job = RenderJob | AnalyseJob

export type RenderResult = {
  widthPx: number
  heightPx: number
  frames: number
  sizeBytes: number
  /** SHA-256 hex of the bytes. */
  sha256: string
}
export type AnalyseResult = { pHash: string; hasTransparency: boolean }
export type JobResult = RenderResult | AnalyseResult

export type Reply =
  | { id: number; ok: true; result: JobResult }
  | { id: number; ok: false; kind: string; message: string; cause: string }
