import sharp from 'sharp'

const made = new Map<number, Buffer>()

/**
 * Makes JPEG pictures of exactly these sizes in bytes, to be had from `photo`: detail and noise as a camera's, the
 * missing bytes behind the end of the picture, where every reader ignores them.
 */
export async function makePhotos(sizesBytes: number[]): Promise<void> {
  for (const sizeBytes of sizesBytes) {
    let widthPx = Math.round(Math.sqrt(sizeBytes * 5.6))
    let jpeg = await render(widthPx)
    while (jpeg.length > sizeBytes) {
      widthPx = Math.floor(widthPx * Math.min(0.97, Math.sqrt(sizeBytes / jpeg.length)))
      jpeg = await render(widthPx)
    }
    made.set(sizeBytes, Buffer.concat([jpeg, Buffer.alloc(sizeBytes - jpeg.length)]))
  }
}

/** Detail of every size, as photos have it: what is made small of it is not smooth either. */
const OCTAVES_PX = [2, 6, 16, 48, 140]

async function render(widthPx: number): Promise<Buffer> {
  const heightPx = Math.round((widthPx * 2) / 3)
  const layers = await Promise.all(
    OCTAVES_PX.map(async (grainPx) => ({
      input: await noise(Math.ceil(widthPx / grainPx), Math.ceil(heightPx / grainPx), 24)
        .greyscale()
        .resize(widthPx, heightPx, { fit: 'fill' })
        .png({ compressionLevel: 1 })
        .toBuffer(),
      blend: 'overlay' as const,
    })),
  )
  const shapes = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 200" width="${widthPx}" height="${heightPx}">
      <defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="#fa4"/><stop offset="1" stop-color="#148"/></linearGradient></defs>
      <rect width="300" height="200" fill="url(#g)" opacity=".8"/><circle cx="90" cy="110" r="50" fill="#c33" opacity=".6"/>
    </svg>`,
  )
  const grain = await noise(widthPx, heightPx, 6).png({ compressionLevel: 1 }).toBuffer()
  const painted = await sharp(grain)
    .composite([{ input: shapes }, ...layers])
    .png({ compressionLevel: 1 })
    .toBuffer()
  return sharp(painted).jpeg({ quality: 85 }).toBuffer()
}

function noise(width: number, height: number, sigma: number) {
  const gaussian = { type: 'gaussian' as const, mean: 128, sigma }
  return sharp({ create: { width, height, channels: 3, background: '#777', noise: gaussian } })
}

/** The picture of that size. */
export function photo(sizeBytes: number): Buffer {
  const jpeg = made.get(sizeBytes)
  if (!jpeg) throw new Error(`no picture of ${sizeBytes} bytes was made`)
  return jpeg
}
