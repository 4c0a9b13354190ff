import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../../support/fixtures.ts'
import { headerFactsOf, inspectBytes } from './inspect-bytes.ts'

describe.runIf(fixturesDir)('real files', () => {
  const load = (path: string) => readFile(fixture(path))

  test.each<[string, object]>([
    ['photos/aitzgorri.jpg', { format: 'jpg', widthPx: 3088, heightPx: 2056 }],
    ['photos/astronaut.png', { format: 'png', widthPx: 512, heightPx: 512, hasAlpha: false }],
    ['formats/animated.apng.png', { format: 'png', widthPx: 100, heightPx: 100, pages: 20 }],
    ['formats/animated.gif', { format: 'gif', widthPx: 14, heightPx: 25, pages: 24 }],
    ['formats/bunny-animated.webp', { format: 'webp', widthPx: 320, heightPx: 180, pages: 15 }],
    ['formats/rose-alpha.webp', { format: 'webp', widthPx: 400, heightPx: 301, hasAlpha: true }],
    ['formats/rose-lossy.webp', { format: 'webp', widthPx: 400, heightPx: 301, hasAlpha: false }],
    ['formats/photo.avif', { format: 'avif', widthPx: 900, heightPx: 562 }],
    ['formats/photo-hevc.heic', { format: 'heic', mime: 'image/heic', widthPx: 900, heightPx: 562 }],
    ['formats/photo.jxl', { format: 'jxl', widthPx: 900, heightPx: 562 }],
    ['formats/layers.psd', { format: 'psd', widthPx: 640, heightPx: 400 }],
    ['formats/tiled.tiff', { format: 'tiff', widthPx: 150, heightPx: 103 }],
    ['formats/small.bmp', { format: 'bmp', widthPx: 150, heightPx: 103 }],
    ['formats/logo.svg', { format: 'svg', widthPx: 96, heightPx: 96 }],
    ['formats/one-page.pdf', { format: 'pdf', kind: 'document', fileType: 'non-image' }],
    ['corrupt/png-named.jpg', { format: 'png', widthPx: 560, heightPx: 120 }],
    ['corrupt/cut-in-half.jpg', { format: 'jpg', widthPx: 640, heightPx: 427 }],
    ['corrupt/exif-loop.jpg', { format: 'jpg', widthPx: 8, heightPx: 8 }],
    ['metadata/orientation-7.jpg', { widthPx: 80, heightPx: 40, orientation: 7 }],
    [
      'video/film-720p-h264.mp4',
      {
        mime: 'video/mp4',
        widthPx: 1280,
        heightPx: 720,
        durationSec: 9,
        bitRate: 1_785_827,
        videoCodec: 'h264',
        audioCodec: 'aac',
      },
    ],
    ['video/film-720p-moov-at-end.mp4', { widthPx: 1280, durationSec: 9, videoCodec: 'h264' }],
    ['video/phone-rotated.mov', { mime: 'video/quicktime', widthPx: 960, heightPx: 540, orientation: 6 }],
    ['video/film-480p-vp9-opus.webm', { mime: 'video/webm', videoCodec: 'vp9', audioCodec: 'opus' }],
    ['video/hdr10-hevc.mp4', { videoCodec: 'hevc', durationSec: 2 }],
    ['video/film-360p-av1.mp4', { videoCodec: 'av1' }],
    ['audio/speech.mp3', { kind: 'audio', audioCodec: 'mp3', durationSec: 3 }],
    ['audio/speech.m4a', { kind: 'audio', mime: 'audio/mp4', audioCodec: 'aac' }],
    ['audio/complete.oga', { kind: 'audio', audioCodec: 'vorbis', durationSec: 1 }],
  ])('%s', async (path, expected) => {
    expect(await inspectBytes(await load(path), path)).toMatchObject(expected)
  })

  test('a photograph with everything', async () => {
    const { embedded } = await inspectBytes(await load('metadata/rich.jpg'))
    expect(embedded).toMatchObject({
      Make: 'Tintype',
      Orientation: 'Horizontal (normal)',
      ExposureTime: '1/250',
      FNumber: 8,
      DateTimeOriginal: '2021-07-14T07:26:53.000Z',
      OffsetTimeOriginal: '+02:00',
      ComponentsConfiguration: 'Y,Cb,Cr,-',
      UserComment: 'note: 山',
      GPSLatitude: '43 deg 11\' 52.08"',
      GPSLongitudeRef: 'West',
      GPSAltitude: '2648 m',
      Keywords: ['mountain', 'trail', expect.stringMatching(/^Españ/)],
      Byline: 'Zoë Müller',
      Creator: 'Zoë Müller',
      'Title-de': 'Gipfel Europas',
      RegionName: 'Hiker',
      RegionAreaX: 0.5,
      HierarchicalSubject: 'places|Spain|Cantabria',
      Rating: 4,
    })
    expect(Object.keys(embedded).length).toBeGreaterThan(70)
  })

  test('the legacy facts of a photograph', async () => {
    const facts = await headerFactsOf(await load('metadata/pentax-gps-iptc-xmp.jpg'), 'jpg')
    expect(facts).toMatchObject({
      density: 140,
      exif: { image: { XResolution: 140 }, exif: { FNumber: 5.6, ISO: 100 } },
    })
    expect(facts.quality).toBeGreaterThan(50)
  })
})
