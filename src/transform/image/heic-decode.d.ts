declare module 'heic-decode' {
  /** Decodes the primary image, turned upright. */
  export default function decode(input: {
    buffer: Uint8Array
  }): Promise<{ width: number; height: number; data: Uint8ClampedArray }>
}
