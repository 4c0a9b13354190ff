import { badRequest } from '../kernel/errors.ts'

export type Base64Decoder = {
  /** Takes the next piece of text and gives the bytes that are complete so far. */
  decode(text: Buffer): Buffer
  /** Gives the last bytes. @throws TintypeError bad-request when the text ends in the middle of a byte. */
  end(): Buffer
}

/**
 * A strict streaming base64 decoder (RFC 4648, sections 4 and 5): standard or URL-safe letters, line breaks
 * ignored, padding optional and only at the end. `Buffer.from(x, 'base64')` skips wrong characters silently and
 * would store a corrupt file with a 200 (trust B02).
 */
export function createBase64Decoder(message: string): Base64Decoder {
  let rest = ''
  let paddings = 0
  return {
    decode(text) {
      let piece = text.toString('latin1').replace(/[\r\n]+/g, '')
      if (piece === '') return Buffer.alloc(0)
      const padding = piece.indexOf('=')
      if (paddings > 0 && padding !== 0) throw badRequest(message)
      if (padding >= 0) {
        paddings += piece.length - padding
        if (paddings > 2 || !/^=+$/.test(piece.slice(padding))) throw badRequest(message)
        piece = piece.slice(0, padding)
      }
      if (!/^[A-Za-z0-9+/_-]*$/.test(piece)) throw badRequest(message)
      rest += piece
      const whole = rest.length - (rest.length % 4)
      const bytes = Buffer.from(rest.slice(0, whole), 'base64')
      rest = rest.slice(whole)
      return bytes
    },
    end() {
      if (rest.length === 1) throw badRequest(message)
      return Buffer.from(rest, 'base64')
    },
  }
}
