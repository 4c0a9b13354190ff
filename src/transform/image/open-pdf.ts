import { readFile } from 'node:fs/promises'
import { badRequest } from '../../kernel/errors.ts'
import type { Size } from '../operations.ts'
import type { RenderLimits, SourceFile } from './job.ts'
import { type Picture, pictureOf } from './picture.ts'
import type { Source } from './source.ts'

/** PDF has points, 72 of which are an inch; without a size that is asked for, one becomes one pixel. */
const MAX_PAGES = 1000

/**
 * Opens a PDF. Its pages are drawn by pdfium in WebAssembly, in this process, that has no network and is killed when it
 * runs too long (trust C16).
 * @param frame the page, counted from 0, whose size the source has.
 */
export async function openPdf(file: SourceFile, limits: RenderLimits, frame: number): Promise<Source> {
  if (file.sizeBytes > limits.maxPdfBytes) {
    throw badRequest(`PDF files of more than ${limits.maxPdfBytes} bytes cannot be transformed.`)
  }
  const { PDFiumLibrary } = await import('@hyzyla/pdfium')
  const library = await PDFiumLibrary.init()
  const document = await library.loadDocument(await readFile(file.path)).catch((cause: unknown) => {
    throw badRequest('The PDF could not be read: it is corrupt or needs a password.', { cause })
  })
  const pages = Math.min(document.getPageCount(), MAX_PAGES)
  const page = frame < pages ? document.getPage(frame) : undefined
  const { originalWidth, originalHeight } = page?.getOriginalSize() ?? { originalWidth: 1, originalHeight: 1 }
  const size: Size = {
    widthPx: Math.max(1, Math.round(originalWidth)),
    heightPx: Math.max(1, Math.round(originalHeight)),
  }
  if (size.widthPx * size.heightPx > limits.maxOutputPx) {
    throw badRequest('The page of the PDF exceeds the maximum image resolution.')
  }
  return {
    size,
    hasAlpha: false,
    frames: pages,
    isAnimated: false,
    delaysMs: [],
    loop: 0,
    profile: null,
    densityDpi: 72,
    isNative: false,
    async picture(_frame, atLeast): Promise<Picture> {
      const share = atLeast
        ? Math.max(1, atLeast.widthPx / size.widthPx, atLeast.heightPx / size.heightPx)
        : 1
      const scale = size.widthPx * size.heightPx * share ** 2 > limits.maxOutputPx ? 1 : share
      const widthPx = Math.round(size.widthPx * scale)
      const heightPx = Math.round(size.heightPx * scale)
      const drawn = await page!.render({ width: widthPx, height: heightPx, render: async ({ data }) => data })
      const picture = pictureOf({
        data: Buffer.from(drawn.data.buffer, drawn.data.byteOffset, drawn.data.byteLength),
        widthPx: drawn.width,
        heightPx: drawn.height,
        channels: 4,
      })
      return { ...picture, pipeline: picture.pipeline.removeAlpha(), size, hasAlpha: false }
    },
  }
}
