import { deflateRawSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { avif, gif, ispe, jpeg, png, tiff, webp, webpChunk } from './build.ts'
import { inspectBytes } from './inspect-bytes.ts'

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="20"/>'
const UTF16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')

describe('the bytes tell binary formats, whatever the name', () => {
  test.each<[string, string, Buffer, string, string]>([
    ['a JPEG', 'a.txt', jpeg({ widthPx: 1, heightPx: 1 }), 'image/jpeg', 'jpg'],
    ['a PNG', 'a.jpg', png({ widthPx: 1, heightPx: 1, colorType: 2 }), 'image/png', 'png'],
    ['a GIF', 'a', gif({ widthPx: 1, heightPx: 1, frames: 1 }), 'image/gif', 'gif'],
    ['a WebP', 'a', webp([webpChunk('VP8L', Buffer.alloc(8))]), 'image/webp', 'webp'],
    ['an AVIF', 'a', avif({ properties: [ispe(1, 1)] }), 'image/avif', 'avif'],
    ['a TIFF', 'a', tiff({ image: [] }), 'image/tiff', 'tiff'],
    ['an SVG', 'a.svg', Buffer.from(SVG), 'image/svg+xml', 'svg'],
    ['an SVG named as a picture', 'a.png', Buffer.from(SVG), 'image/svg+xml', 'svg'],
    [
      'an SVG without a name',
      'a',
      Buffer.from(`<?xml version="1.0"?><!-- <html> -->${SVG}`),
      'image/svg+xml',
      'svg',
    ],
    [
      'an SVG with a prefix',
      'a',
      Buffer.from('<x:svg xmlns:x="http://www.w3.org/2000/svg"/>'),
      'image/svg+xml',
      'svg',
    ],
    ['an SVG with a mark', 'a', Buffer.from(`\ufeff ${SVG}`), 'image/svg+xml', 'svg'],
    ['an SVG in UTF-16', 'a', UTF16(SVG), 'image/svg+xml', 'svg'],
    ['an SVG in UTF-16BE', 'a', UTF16(SVG).swap16(), 'image/svg+xml', 'svg'],
    [
      'an SVG behind a document type',
      'a',
      Buffer.from(`<!DOCTYPE svg [<!ENTITY a "]>">]>${SVG}`),
      'image/svg+xml',
      'svg',
    ],
    ['a PDF', 'a.jpg', Buffer.from('%PDF-1.7\n'), 'application/pdf', 'pdf'],
    ['gzip', 'a.svg', gzipSync(SVG), 'application/gzip', 'gz'],
  ])('%s named %j', async (_, name, bytes, mime, format) => {
    expect(await inspectBytes(bytes, name)).toMatchObject({ mime, format })
  })
})

describe('the extension tells text formats', () => {
  test.each([
    ['a.css', 'text/css', 'css'],
    ['a.js', 'text/javascript', 'js'],
    ['a.mjs', 'text/javascript', 'js'],
    ['a.json', 'application/json', 'json'],
    ['A.TXT', 'text/plain', 'txt'],
    ['a.html', 'text/html', 'html'],
    ['a.htm', 'text/html', 'html'],
    ['a.csv', 'text/csv', 'csv'],
    ['a.md', 'text/markdown', 'md'],
    ['a.m3u8', 'application/vnd.apple.mpegurl', 'm3u8'],
    ['a.vtt', 'text/vtt', 'vtt'],
    ['a.srt', 'application/x-subrip', 'srt'],
    ['a.xml', 'application/xml', 'xml'],
  ])('%s', async (name, mime, format) => {
    const inspection = await inspectBytes(Buffer.from('some text, grün\n'), name)
    expect(inspection).toEqual({ mime, format, kind: 'text', fileType: 'non-image', embedded: {} })
  })

  test.each(['a.html', 'a.md', 'a.js'])('also where the text begins like a drawing: %s', async (name) => {
    expect((await inspectBytes(Buffer.from(SVG), name)).kind).toBe('text')
  })
})

describe('everything else is unknown', () => {
  const zeros = Buffer.alloc(100)
  test.each<[string, string, Buffer]>([
    ['nothing', 'a.txt', Buffer.alloc(0)],
    ['text without an extension', 'a', Buffer.from('text')],
    ['text with the extension of a picture', 'a.jpg', Buffer.from('text')],
    ['HTML with the extension of a picture', 'a.gif', Buffer.from('<html><script>1</script></html>')],
    ['HTML without an extension', 'a', Buffer.from('<!doctype html><p>')],
    ['bytes with the extension of a text', 'a.html', zeros],
    ['noise', 'a.bin', deflateRawSync(Buffer.from('noise of no format at all'))],
    ['an extension that objects have', 'a.constructor', Buffer.from('text')],
  ])('%s', async (_, name, bytes) => {
    expect(await inspectBytes(bytes, name)).toEqual({
      mime: 'application/octet-stream',
      format: '',
      kind: 'other',
      fileType: 'non-image',
      embedded: {},
    })
  })
})
