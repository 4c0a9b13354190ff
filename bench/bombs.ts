import sharp from 'sharp'

/** A small file that takes a careless decoder much memory or time, and what is asked of it. */
export type Bomb = { title: string; fileName: string; bytes: Buffer; transformation: string }

/** Makes the bombs; that of AVIF takes some seconds. */
export async function makeBombs(): Promise<Bomb[]> {
  return [
    {
      title: 'AVIF, 9000 × 9000',
      fileName: 'bomb.avif',
      bytes: await solid(9000, 9000).avif({ effort: 0, quality: 1 }).toBuffer(),
      transformation: 'w-400,f-webp',
    },
    {
      title: 'PNG, 30000 × 30000',
      fileName: 'bomb.png',
      bytes: await solid(30_000, 30_000).png({ palette: false, compressionLevel: 9 }).toBuffer(),
      transformation: 'w-400,f-webp',
    },
    {
      title: 'JPEG, 12000 × 8000, progressive',
      fileName: 'bomb.jpg',
      bytes: await solid(12_000, 8000).jpeg({ progressive: true, quality: 20 }).toBuffer(),
      transformation: 'w-7000,f-png',
    },
    {
      title: 'PNG, 1 × 65535, made 1000 wide',
      fileName: 'narrow.png',
      bytes: await solid(1, 65_535).png().toBuffer(),
      transformation: 'w-1000,f-webp',
    },
    {
      title: 'GIF of 10,000 frames',
      fileName: 'bomb.gif',
      bytes: await animation(10_000),
      transformation: 'w-400,f-webp',
    },
    {
      title: 'GIF of 400 frames, made 1000 wide',
      fileName: 'growing.gif',
      bytes: await animation(400),
      transformation: 'w-1000,f-webp',
    },
    {
      title: 'SVG of 10⁹ uses',
      fileName: 'bomb.svg',
      bytes: Buffer.from(nestedUse(9)),
      transformation: 'w-400,f-png',
    },
    {
      title: 'SVG of a huge blur',
      fileName: 'blur.svg',
      bytes: Buffer.from(
        '<svg xmlns="http://www.w3.org/2000/svg" width="4500" height="4500"><filter id="f"><feGaussianBlur stdDeviation="900"/></filter><rect width="4500" height="4500" filter="url(#f)"/></svg>',
      ),
      transformation: 'w-400,f-png',
    },
  ]
}

function solid(width: number, height: number) {
  return sharp({
    create: { width, height, channels: 3, background: '#123456' },
    limitInputPixels: false,
  })
}

function animation(frames: number): Promise<Buffer> {
  const raw = Buffer.alloc(4 * 4 * frames * 3)
  for (let at = 0; at < raw.length; at++) raw[at] = (at * 7919) % 251
  return sharp(raw, { raw: { width: 4, height: 4 * frames, channels: 3, pageHeight: 4 } })
    .gif({ effort: 1 })
    .toBuffer()
}

/** Few lines that make a renderer draw 10^`levels` shapes. */
function nestedUse(levels: number): string {
  let body = '<g id="l0"><rect width="1" height="1"/></g>'
  for (let level = 1; level <= levels; level++) {
    body += `<g id="l${level}">${`<use href="#l${level - 1}" x="1"/>`.repeat(10)}</g>`
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><defs>${body}</defs><use href="#l${levels}"/></svg>`
}
