import { describe, expect, test } from 'vitest'
import {
  ascii,
  byte,
  dataset,
  exifSegment,
  iptcSegment,
  jpeg,
  jpegSegment,
  long,
  rational,
  short,
  signedRational,
  type TiffField,
  tiff,
  u16be,
  undefinedBytes,
  xmpSegment,
} from './build.ts'
import { headerFactsOf, inspectBytes } from './inspect-bytes.ts'

async function embeddedOf(...segments: Buffer[]): Promise<Record<string, unknown>> {
  return (await inspectBytes(jpeg({ widthPx: 10, heightPx: 10, segments }))).embedded
}

const NAMESPACES = Object.entries({
  rdf: 'http://www.w3.org/1999/02/22-rdf-syntax-ns#',
  dc: 'http://purl.org/dc/elements/1.1/',
  xmp: 'http://ns.adobe.com/xap/1.0/',
  xmpMM: 'http://ns.adobe.com/xap/1.0/mm/',
  stEvt: 'http://ns.adobe.com/xap/1.0/sType/ResourceEvent#',
  stArea: 'http://ns.adobe.com/xmp/sType/Area#',
  photoshop: 'http://ns.adobe.com/photoshop/1.0/',
  exif: 'http://ns.adobe.com/exif/1.0/',
  tiff: 'http://ns.adobe.com/tiff/1.0/',
  aux: 'http://ns.adobe.com/exif/1.0/aux/',
  cc: 'http://creativecommons.org/ns#',
  Iptc4xmpCore: 'http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/',
  Iptc4xmpExt: 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/',
  plus: 'http://ns.useplus.org/ldf/xmp/1.0/',
  'mwg-rs': 'http://www.metadataworkinggroup.com/schemas/regions/',
})
  .map(([prefix, uri]) => `xmlns:${prefix}="${uri}"`)
  .join(' ')

const packet = (body: string) =>
  `<?xpacket begin="" id="x"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF ${NAMESPACES}>${body}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>`
const described = (body: string) => packet(`<rdf:Description rdf:about="">${body}</rdf:Description>`)
const list = (kind: string, ...items: string[]) =>
  `<rdf:${kind}>${items.map((item) => `<rdf:li>${item}</rdf:li>`).join('')}</rdf:${kind}>`

describe('EXIF as ExifTool prints it', () => {
  test.each<[string, TiffField, string, unknown]>([
    ['text', ascii(0x010f, 'Tintype  '), 'Make', 'Tintype'],
    ['UTF-8', ascii(0x013b, 'Zoë Müller'), 'Artist', 'Zoë Müller'],
    [
      'Latin-1',
      { tag: 0x013b, type: 2, count: 4, data: Buffer.from([0x5a, 0x6f, 0xeb, 0]) },
      'Artist',
      'Zoë',
    ],
    ['numbers in text', ascii(0x0131, '7.1'), 'Software', 7.1],
    ['versions in text', ascii(0x0131, '7.1.1'), 'Software', '7.1.1'],
    ['an orientation', short(0x0112, 6), 'Orientation', 'Rotate 90 CW'],
    ['an unknown orientation', short(0x0112, 12), 'Orientation', 'Unknown (12)'],
    ['a resolution', rational(0x011a, [72, 1]), 'XResolution', 72],
    ['a quotient', rational(0x011a, [10, 3]), 'XResolution', 3.333333333],
    ['a division by zero', rational(0x011a, [10, 0]), 'XResolution', 'inf'],
    ['nothing divided by zero', rational(0x011a, [0, 0]), 'XResolution', 'undef'],
    ['a unit', short(0x0128, 2), 'ResolutionUnit', 'inches'],
    ['a date', ascii(0x0132, '2008:07:31 10:38:11'), 'ModifyDate', '2008-07-31T10:38:11.000Z'],
    ['an unset clock', ascii(0x0132, '0000:00:00 00:00:00'), 'ModifyDate', '0000:00:00 00:00:00'],
    ['sub-sampling', short(0x0212, 2, 2), 'YCbCrSubSampling', 'YCbCr4:2:0 (2 2)'],
    ['Windows text', byte(0x9c9b, ...Buffer.from('Tïtle\0', 'utf16le')), 'XPTitle', 'Tïtle'],
  ])('%s', async (_, field, name, expected) => {
    expect(await embeddedOf(exifSegment(tiff({ image: [field] })))).toEqual({ [name]: expected })
  })

  test.each<[string, TiffField, string, unknown]>([
    ['a short exposure', rational(0x829a, [1, 250]), 'ExposureTime', '1/250'],
    ['a long exposure', rational(0x829a, [5, 2]), 'ExposureTime', 2.5],
    ['an aperture', rational(0x829d, [8, 1]), 'FNumber', 8],
    ['a shutter speed value', signedRational(0x9201, 59, 8), 'ShutterSpeedValue', '1/166'],
    ['an aperture value', rational(0x9202, [497, 100]), 'ApertureValue', 5.6],
    ['no compensation', signedRational(0x9204, 0, 10), 'ExposureCompensation', 0],
    ['two thirds of a stop', signedRational(0x9204, 2, 3), 'ExposureCompensation', '+2/3'],
    ['half a stop down', signedRational(0x9204, -1, 2), 'ExposureCompensation', '-1/2'],
    ['a stop', signedRational(0x9204, 1, 1), 'ExposureCompensation', '+1'],
    ['a focal length', rational(0x920a, [50, 1]), 'FocalLength', '50.0 mm'],
    ['a film focal length', short(0xa405, 75), 'FocalLengthIn35mmFormat', '75 mm'],
    ['a flash', short(0x9209, 16), 'Flash', 'Off, Did not fire'],
    ['a version', undefinedBytes(0x9000, '0232'), 'ExifVersion', '0232'],
    ['components', undefinedBytes(0x9101, '\x01\x02\x03\0'), 'ComponentsConfiguration', 'Y,Cb,Cr,-'],
    ['a colour space', short(0xa001, 65535), 'ColorSpace', 'Uncalibrated'],
    ['a comment', undefinedBytes(0x9286, 'ASCII\0\0\0note   '), 'UserComment', 'note'],
    [
      'a comment in Unicode',
      undefinedBytes(0x9286, `UNICODE\0${Buffer.from('山', 'utf16le').toString('latin1')}`),
      'UserComment',
      '山',
    ],
    ['a lens', rational(0xa432, [16, 1], [50, 1], [28, 10], [28, 10]), 'LensInfo', '16-50mm f/2.8'],
    ['a lens of one length', rational(0xa432, [50, 1], [50, 1], [0, 0], [0, 0]), 'LensInfo', '50mm f/?'],
    ['a scene', undefinedBytes(0xa301, '\x01'), 'SceneType', 'Directly photographed'],
    ['a subject', short(0x9214, 1, 2, 3, 4), 'SubjectArea', '1 2 3 4'],
  ])('%s', async (_, field, name, expected) => {
    expect(await embeddedOf(exifSegment(tiff({ image: [], exif: [field] })))).toEqual({ [name]: expected })
  })

  test.each<[string, TiffField, string, unknown]>([
    ['a version', byte(0x00, 2, 3, 0, 0), 'GPSVersionID', '2.3.0.0'],
    ['a side', ascii(0x01, 'N'), 'GPSLatitudeRef', 'North'],
    ['a latitude', rational(0x02, [43, 1], [11, 1], [5208, 100]), 'GPSLatitude', '43 deg 11\' 52.08"'],
    [
      'a latitude in decimals',
      rational(0x02, [43_5, 10], [0, 1], [0, 1]),
      'GPSLatitude',
      '43 deg 30\' 0.00"',
    ],
    [
      'a latitude that rounds up',
      rational(0x02, [43, 1], [59, 1], [59999, 1000]),
      'GPSLatitude',
      '44 deg 0\' 0.00"',
    ],
    ['an altitude', rational(0x06, [2648, 1]), 'GPSAltitude', '2648 m'],
    ['a sea', byte(0x05, 1), 'GPSAltitudeRef', 'Below Sea Level'],
    ['a time', rational(0x07, [13, 1], [3, 1], [4279, 100]), 'GPSTimeStamp', '13:03:42.79'],
    ['a day', ascii(0x1d, '2017:10:27'), 'GPSDateStamp', '2017-10-27T00:00:00.000Z'],
    ['a direction', ascii(0x10, 'T'), 'GPSImgDirectionRef', 'True North'],
  ])('the place: %s', async (_, field, name, expected) => {
    expect(await embeddedOf(exifSegment(tiff({ image: [], gps: [field] })))).toEqual({ [name]: expected })
  })

  test('a date with the zone beside it', async () => {
    const exif = [ascii(0x9003, '2021:07:14 09:26:53'), ascii(0x9011, '+02:00')]
    expect(await embeddedOf(exifSegment(tiff({ image: [], exif })))).toEqual({
      DateTimeOriginal: '2021-07-14T07:26:53.000Z',
      OffsetTimeOriginal: '+02:00',
    })
  })

  test('of the thumbnail only what the picture does not say', async () => {
    const block = tiff({ image: [short(0x0128, 2)], thumbnail: [short(0x0128, 3), short(0x0103, 6)] })
    expect(await embeddedOf(exifSegment(block))).toEqual({
      ResolutionUnit: 'inches',
      Compression: 'JPEG (old-style)',
    })
  })
})

describe('IPTC', () => {
  test('names, lists, dates and times', async () => {
    const embedded = await embeddedOf(
      iptcSegment(
        dataset(1, 90, '\x1b%G'),
        dataset(2, 0, u16be(4)),
        dataset(2, 5, 'The Title'),
        dataset(2, 25, 'mountain'),
        dataset(2, 25, 'España'),
        dataset(2, 80, 'Zoë'),
        dataset(2, 55, '20171027'),
        dataset(2, 60, '083852+0200'),
        dataset(2, 95, 'Cantabria'),
        dataset(2, 101, 'Spain'),
        dataset(2, 120, 'A caption'),
      ),
    )
    expect(embedded).toEqual({
      CodedCharacterSet: 'UTF8',
      ApplicationRecordVersion: 4,
      ObjectName: 'The Title',
      Keywords: ['mountain', 'España'],
      Byline: 'Zoë',
      DateCreated: '2017-10-27T00:00:00.000Z',
      TimeCreated: '08:38:52+02:00',
      ProvinceState: 'Cantabria',
      CountryPrimaryLocationName: 'Spain',
      CaptionAbstract: 'A caption',
    })
  })

  test('in the code page of old programs', async () => {
    expect(
      await embeddedOf(iptcSegment(dataset(2, 90, Buffer.from([0x4b, 0xf6, 0x6c, 0x6e, 0x80])))),
    ).toEqual({
      City: 'Köln€',
    })
  })

  test('over two segments', async () => {
    const whole = iptcSegment(dataset(2, 5, 'x'.repeat(100)))
    const body = whole.subarray(4 + 14)
    const half = (part: Buffer) => jpegSegment(0xed, Buffer.concat([Buffer.from('Photoshop 3.0\0'), part]))
    expect(await embeddedOf(half(body.subarray(0, 50)), half(body.subarray(50)))).toEqual({
      ObjectName: 'x'.repeat(100),
    })
  })
})

describe('XMP', () => {
  test.each<[string, string, Record<string, unknown>]>([
    [
      'attributes',
      packet('<rdf:Description rdf:about="" xmp:Rating="4" xmp:Label="Green &amp; blue"/>'),
      { Rating: 4, Label: 'Green & blue' },
    ],
    ['elements', described('<photoshop:Headline>Morning</photoshop:Headline>'), { Headline: 'Morning' }],
    ['lists', described(`<dc:subject>${list('Bag', 'a', 'b')}</dc:subject>`), { Subject: ['a', 'b'] }],
    ['lists of one', described(`<dc:creator>${list('Seq', 'Zoë')}</dc:creator>`), { Creator: 'Zoë' }],
    [
      'languages',
      described(
        '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Peaks</rdf:li><rdf:li xml:lang="de">Gipfel</rdf:li></rdf:Alt></dc:title>',
      ),
      { Title: 'Peaks', 'Title-de': 'Gipfel' },
    ],
    [
      'links',
      described('<cc:license rdf:resource="https://example.com/by"/>'),
      { License: 'https://example.com/by' },
    ],
    [
      'booleans',
      packet('<rdf:Description aux:VignetteCorrectionAlreadyApplied="True"/>'),
      { VignetteCorrectionAlreadyApplied: true },
    ],
    [
      'dates',
      packet('<rdf:Description xmp:ModifyDate="2017-11-23T09:56:54+01:00"/>'),
      { ModifyDate: '2017-11-23T08:56:54.000Z' },
    ],
    [
      'copies of EXIF',
      packet(
        '<rdf:Description exif:ExposureTime="1/200" exif:FNumber="28/10" exif:ExifVersion="0230" tiff:Orientation="6"/>',
      ),
      {
        ExposureTime: '1/200',
        FNumber: 2.8,
        ExifVersion: '0230',
        Orientation: 'Rotate 90 CW',
      },
    ],
    [
      'structures',
      described(
        '<Iptc4xmpCore:CreatorContactInfo rdf:parseType="Resource"><Iptc4xmpCore:CiAdrCity>Bern</Iptc4xmpCore:CiAdrCity><Iptc4xmpCore:CiEmailWork>a@b</Iptc4xmpCore:CiEmailWork></Iptc4xmpCore:CreatorContactInfo>',
      ),
      { CreatorCity: 'Bern', CreatorWorkEmail: 'a@b' },
    ],
    [
      'structures in attributes',
      described(
        '<mwg-rs:Regions><rdf:Description><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Hiker"><mwg-rs:Area stArea:x="0.5" stArea:unit="normalized"/></rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>',
      ),
      { RegionName: 'Hiker', RegionAreaX: 0.5, RegionAreaUnit: 'normalized' },
    ],
    [
      'lists of structures',
      described(
        `<xmpMM:History><rdf:Seq><rdf:li stEvt:action="derived"/><rdf:li stEvt:action="saved" stEvt:changed="/"/></rdf:Seq></xmpMM:History>`,
      ),
      { HistoryAction: ['derived', 'saved'], HistoryChanged: '/' },
    ],
    [
      'artworks',
      described(
        `<Iptc4xmpExt:ArtworkOrObject><rdf:Bag><rdf:li rdf:parseType="Resource"><Iptc4xmpExt:AOTitle>${list('Alt', 'T')}</Iptc4xmpExt:AOTitle><Iptc4xmpExt:AOCreator>${list('Seq', 'a', 'b')}</Iptc4xmpExt:AOCreator></rdf:li></rdf:Bag></Iptc4xmpExt:ArtworkOrObject>`,
      ),
      { ArtworkTitle: 'T', ArtworkCreator: ['a', 'b'] },
    ],
    [
      'owners',
      described(
        `<plus:CopyrightOwner>${'<rdf:Seq><rdf:li rdf:parseType="Resource"><plus:CopyrightOwnerName>O</plus:CopyrightOwnerName></rdf:li></rdf:Seq>'}</plus:CopyrightOwner>`,
      ),
      { CopyrightOwnerName: 'O' },
    ],
    [
      'namespaces nobody knows',
      packet('<rdf:Description xmlns:my="urn:mine" my:some.Thing="1"/>'),
      { SomeThing: 1 },
    ],
    [
      'another prefix for a known one',
      packet('<rdf:Description xmlns:q="http://ns.adobe.com/xap/1.0/" q:Rating="3"/>'),
      { Rating: 3 },
    ],
  ])('%s', async (_, xml, expected) => {
    expect(await embeddedOf(xmpSegment(xml))).toEqual(expected)
  })

  test('the program that wrote it', async () => {
    const xml = packet('').replace('<x:xmpmeta', '<x:xmpmeta x:xmptk="Core 5.6"')
    expect(await embeddedOf(xmpSegment(xml))).toEqual({ XMPToolkit: 'Core 5.6' })
  })

  test('that does not fit into a segment', async () => {
    const first = xmpSegment(packet('<rdf:Description xmp:Rating="2"/>'))
    const rest = Buffer.from(
      packet(`<rdf:Description dc:format="x" photoshop:History="${'h'.repeat(100)}"/>`),
    )
    const part = (at: number, body: Buffer) => {
      const head = Buffer.alloc(40)
      head.write('0123456789ABCDEF0123456789ABCDEF')
      head.writeUInt32BE(rest.length, 32)
      head.writeUInt32BE(at, 36)
      return jpegSegment(
        0xe1,
        Buffer.concat([Buffer.from('http://ns.adobe.com/xmp/extension/\0'), head, body]),
      )
    }
    // The parts come in any order.
    const embedded = await embeddedOf(first, part(300, rest.subarray(300)), part(0, rest.subarray(0, 300)))
    expect(embedded).toEqual({ Rating: 2, Format: 'x', History: 'h'.repeat(100) })
  })
})

describe('what blocks say together', () => {
  const iptc = iptcSegment(dataset(2, 90, 'of IPTC'))
  const xmp = xmpSegment(packet('<rdf:Description photoshop:City="of XMP"/>'))

  test('the last in the file stays', async () => {
    expect(await embeddedOf(iptc, xmp)).toEqual({ City: 'of XMP' })
    expect(await embeddedOf(xmp, iptc)).toEqual({ City: 'of IPTC' })
  })

  test('EXIF outweighs the copies of it', async () => {
    const exif = exifSegment(tiff({ image: [ascii(0x010f, 'of EXIF')] }))
    const copy = xmpSegment(packet('<rdf:Description tiff:Make="of XMP" tiff:Model="M"/>'))
    expect(await embeddedOf(exif, copy)).toEqual({ Make: 'of EXIF', Model: 'M' })
  })

  test('is bounded, and never reaches a prototype', async () => {
    const xml = packet(
      `<rdf:Description xmlns:a="urn:a" a:__proto__="x" a:constructor="y" a:Long="${'l'.repeat(20_000)}"/>`,
    )
    const embedded = await embeddedOf(xmpSegment(xml))
    expect(embedded).toEqual({ Constructor: 'y' })
    expect(Object.getPrototypeOf(embedded)).toBe(Object.prototype)
  })
})

test('the legacy tree holds raw values under the same names', async () => {
  const block = tiff({
    image: [ascii(0x010f, 'Canon'), short(0x0112, 1), rational(0x011a, [72, 1])],
    exif: [
      rational(0x829a, [1, 160]),
      undefinedBytes(0x9000, '0221'),
      ascii(0x9003, '2008:05:30 15:56:01'),
      undefinedBytes(0x9101, '\x01\x02\x03\0'),
      signedRational(0x9204, 0, 1),
      rational(0xa20e, [324_000, 73]),
      undefinedBytes(0x927c, 'secrets of the maker'),
    ],
    gps: [byte(0x00, 2, 2, 0, 0)],
    thumbnail: [short(0x0103, 6), long(0x0201, 1090), long(0x0202, 1378)],
  })
  const { exif } = await headerFactsOf(
    jpeg({ widthPx: 1, heightPx: 1, segments: [exifSegment(block)] }),
    'jpg',
  )
  expect(exif).toEqual({
    image: {
      Make: 'Canon',
      Orientation: 1,
      XResolution: 72,
      ExifOffset: expect.any(Number),
      GPSInfo: expect.any(Number),
    },
    thumbnail: { Compression: 6, ThumbnailOffset: 1090, ThumbnailLength: 1378 },
    exif: {
      ExposureTime: 0.00625,
      ExifVersion: '0221',
      DateTimeOriginal: '2008:05:30 15:56:01',
      ComponentsConfiguration: '\x01\x02\x03\0',
      ExposureCompensation: 0,
      FocalPlaneXResolution: 4438.356164383562,
    },
    gps: { GPSVersionID: [2, 2, 0, 0] },
    interoperability: {},
    makernote: {},
  })
})
