import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

describe.runIf(fixturesDir)('metadata of real photographs', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server?.dispose())

  async function upload(path: string) {
    const bytes = await readFile(fixture(path))
    return sdk7(server).files.upload({
      file: new File([new Uint8Array(bytes)], 'x'),
      fileName: path.split('/').pop()!,
      responseFields: ['embeddedMetadata', 'metadata'],
    })
  }

  test('EXIF, IPTC and XMP in one flat object, with the names and values of the API', async () => {
    const { embeddedMetadata } = await upload('metadata/rich.jpg')
    expect(embeddedMetadata).toMatchObject({
      // EXIF
      Make: 'Tintype',
      Model: 'Box No. 1',
      LensModel: '50mm f/1.8',
      FNumber: 8,
      ISO: 200,
      Orientation: 'Horizontal (normal)',
      Artist: 'Zoë Müller',
      ImageDescription: 'Picos de Europa',
      ExifVersion: '0232',
      ComponentsConfiguration: expect.stringMatching(/^Y, ?Cb, ?Cr, ?-$/),
      ColorSpace: 'Uncalibrated',
      // With its time zone, as an instant.
      DateTimeOriginal: expect.stringMatching(/^2021-07-14T0[79]:26:53\.\d{3}Z$/),
      OffsetTimeOriginal: '+02:00',
      // IPTC
      ObjectName: 'Picos de Europa',
      Keywords: ['mountain', 'trail', 'Españа'],
      City: 'Fuente Dé',
      CaptionAbstract: 'Trail below the wall — früh am Morgen',
      // XMP
      Title: 'Picos de Europa',
      Description: 'Trail below the wall',
      Rating: 4,
      Headline: 'Morning',
    })
    const values = Object.values(embeddedMetadata!)
    expect(
      values.filter((value) => value !== null && typeof value === 'object' && !Array.isArray(value)),
    ).toEqual([])
  })

  test('is kept: the details show the same as the answer to the upload', async () => {
    const answer = await upload('metadata/pentax-gps-iptc-xmp.jpg')
    expect(Object.keys(answer.embeddedMetadata!).length).toBeGreaterThan(20)
    expect((await sdk7(server).files.get(answer.fileId!)).embeddedMetadata).toEqual(answer.embeddedMetadata)
  })

  test('the legacy shape', async () => {
    const { metadata, size } = await upload('metadata/rich.jpg')
    expect(metadata).toMatchObject({
      height: 1200,
      width: 1600,
      size,
      format: 'jpg',
      hasColorProfile: false,
      quality: expect.any(Number),
      density: expect.any(Number),
      hasTransparency: false,
      pHash: expect.stringMatching(/^[0-9a-f]{16}$/),
      exif: {
        image: {
          Make: 'Tintype',
          Model: 'Box No. 1',
          Orientation: 1,
          Artist: 'Zoë Müller',
          ImageDescription: 'Picos de Europa',
        },
        thumbnail: {},
        exif: {
          FNumber: 8,
          ISO: 200,
          FocalLength: 50,
          DateTimeOriginal: '2021:07:14 09:26:53',
          ExifVersion: '0232',
          LensModel: '50mm f/1.8',
        },
        gps: expect.objectContaining({ GPSLatitudeRef: 'N', GPSLongitudeRef: 'W' }),
        interoperability: {},
        makernote: {},
      },
    })
  })

  test('a phone picture: its place and that it lies on its side', async () => {
    const answer = await upload('metadata/iphone-gps-orientation6.jpg')
    expect(answer).toMatchObject({ orientation: 6 })
    expect(answer.embeddedMetadata).toMatchObject({ Make: 'Apple', Orientation: 'Rotate 90 CW' })
    expect(Object.keys(answer.metadata!.exif!.gps!)).toEqual(
      expect.arrayContaining(['GPSLatitude', 'GPSLongitude']),
    )
  })

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('orientation %i', async (orientation) => {
    expect(await upload(`metadata/orientation-${orientation}.jpg`)).toMatchObject({ orientation })
  })

  test('transparency and colour profiles are seen', async () => {
    const facts = async (path: string) => (await upload(path)).metadata
    expect(await facts('photos/china.jpg')).toMatchObject({
      format: 'jpg',
      hasTransparency: false,
      hasColorProfile: true,
    })
    expect(await facts('photos/leaves.jpg')).toMatchObject({ hasColorProfile: false })
    expect(await facts('formats/rose-alpha.webp')).toMatchObject({ format: 'webp', hasTransparency: true })
    // It has an alpha channel in which nothing is transparent.
    expect(await facts('formats/logo-alpha.png')).toMatchObject({ format: 'png', hasTransparency: false })
  })

  test('pHash: near for the same picture, far for another', async () => {
    const [china, flower, again] = await Promise.all(
      ['china', 'flower', 'china'].map((name) => upload(`photos/${name}.jpg`)),
    )
    const hash = (answer: typeof china) => answer!.metadata!.pHash!
    expect(hash(china)).toBe(hash(again))
    expect(distance(hash(china), hash(flower))).toBeGreaterThan(12)
  })

  test('broken EXIF: fields are missing, the upload goes through', async () => {
    for (const name of ['exif-huge-tag', 'exif-loop', 'exif-max-uint32']) {
      const answer = await upload(`corrupt/${name}.jpg`)
      expect(answer.fileId, name).toMatch(/^[0-9a-f]{24}$/)
      expect(answer.embeddedMetadata, name).toEqual(expect.any(Object))
    }
  })
})

/** Differing bits of two hashes in hex. */
function distance(a: string, b: string): number {
  let bits = BigInt(`0x${a}`) ^ BigInt(`0x${b}`)
  let count = 0
  for (; bits > 0n; bits >>= 1n) count += Number(bits & 1n)
  return count
}
