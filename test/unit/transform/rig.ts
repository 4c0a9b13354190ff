import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { Default } from 'typebox/value'
import { silentLog } from '../../../src/kernel/log.ts'
import {
  createRenderer,
  type Output,
  parseTransformation,
  type SourceFile,
  type TransformOptions,
  transformOptions,
} from '../../../src/transform/transform.ts'

export const PNG: Output = {
  format: 'png',
  quality: 80,
  lossless: false,
  progressive: false,
  keepColorProfile: false,
  keepMetadata: false,
  density: null,
}

export type Rendered = { bytes: Buffer; widthPx: number; heightPx: number; frames: number }

/** A renderer with a folder for its files. */
export async function openRig(overrides: Partial<TransformOptions> & { cacheDir?: string } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'tintype-render-'))
  const renderer = createRenderer(
    { ...(Default(transformOptions, {}) as TransformOptions), ...overrides },
    { log: silentLog },
  )
  let count = 0
  return {
    dir,
    renderer,
    /** Writes a file and gives it as a source. */
    async file(format: string, bytes: Buffer, extra: Partial<SourceFile> = {}): Promise<SourceFile> {
      const path = join(dir, `source-${count++}.${format}`)
      await writeFile(path, bytes)
      return { path, format, sizeBytes: bytes.length, ...extra }
    },
    async render(
      source: SourceFile,
      text: string,
      options: {
        output?: Partial<Output>
        layers?: Record<string, SourceFile>
        fonts?: Record<string, string>
      } = {},
    ): Promise<Rendered> {
      const outputPath = join(dir, `out-${count++}`)
      const { width = 0, height = 0 } = await sharp(source.path)
        .metadata()
        .catch(() => ({ width: 1, height: 1 }))
      const result = await renderer.render({
        source: { ...source, widthPx: width, heightPx: height },
        sourceKey: source.path,
        chain: parseTransformation(text),
        output: { ...PNG, ...options.output },
        ...(options.layers ? { layers: options.layers } : {}),
        ...(options.fonts ? { fonts: options.fonts } : {}),
        outputPath,
      })
      const bytes = await readFile(outputPath)
      return { bytes, widthPx: result.widthPx, heightPx: result.heightPx, frames: result.frames }
    },
    async close() {
      await renderer.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
export type Rig = Awaited<ReturnType<typeof openRig>>

/**
 * An image whose colours say where they are: red grows from 0 to 255 from left to right, green from top to bottom,
 * blue is 128. So any output pixel tells which source point it shows.
 */
export function coordinateImage(widthPx: number, heightPx: number, channels: 3 | 4 = 3) {
  const data = Buffer.alloc(widthPx * heightPx * channels, 255)
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      const at = (y * widthPx + x) * channels
      data[at] = Math.round((x / (widthPx - 1)) * 255)
      data[at + 1] = Math.round((y / (heightPx - 1)) * 255)
      data[at + 2] = 128
    }
  }
  return sharp(data, { raw: { width: widthPx, height: heightPx, channels } })
}

/** Raw RGBA of an encoded image. */
export async function pixelsOf(bytes: Buffer) {
  const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  return {
    width: info.width,
    height: info.height,
    at(x: number, y: number): [number, number, number, number] {
      const index = (y * info.width + x) * 4
      return [data[index]!, data[index + 1]!, data[index + 2]!, data[index + 3]!]
    },
  }
}
