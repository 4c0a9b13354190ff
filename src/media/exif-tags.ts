import { decodeText, type TiffValue } from './tiff.ts'

/**
 * EXIF, TIFF and GPS tags: the names that ExifTool gives them, and how it prints their values. A tag without a
 * printer is printed as its number, its numbers with spaces between, or its text.
 */
export type ExifTag = { name: string; print?: (value: TiffValue, littleEndian: boolean) => unknown }

type Printer = NonNullable<ExifTag['print']>

/** Ten significant digits, as ExifTool rounds quotients; `undef` and `inf` for divisions by zero. */
function rounded(value: number): number | string {
  if (Number.isNaN(value)) return 'undef'
  if (!Number.isFinite(value)) return 'inf'
  return Number(value.toPrecision(10))
}

export function printPlain(value: TiffValue): unknown {
  if (typeof value === 'string') return value
  // Bytes of no known meaning say nothing to anybody.
  if (Buffer.isBuffer(value)) return undefined
  if (value.length === 1) return rounded(value[0]!)
  return value.length > 0 && value.length <= 64 ? value.map(rounded).join(' ') : undefined
}

function first(value: TiffValue): number | undefined {
  if (Array.isArray(value)) return value[0]
  const number = Buffer.isBuffer(value) ? value[0] : Number.parseFloat(value)
  return Number.isNaN(number) ? undefined : number
}

/** Prints the first number; a quotient by zero stays what it is. */
function numeric(print: (value: number) => unknown): Printer {
  return (value) => {
    const number = first(value)
    if (number === undefined) return printPlain(value)
    return Number.isFinite(number) ? print(number) : rounded(number)
  }
}

function choice(names: Record<number | string, string>): Printer {
  return (value) => {
    const key = typeof value === 'string' ? value : first(value)
    if (key === undefined || key === '') return undefined
    return Object.hasOwn(names, key) ? names[key] : `Unknown (${key})`
  }
}

const text: Printer = (value) => (Buffer.isBuffer(value) ? decodeText(value) : printPlain(value))
const trimmed: Printer = (value) => (typeof value === 'string' ? value.trimEnd() : printPlain(value))
const aperture = (value: number) => value.toFixed(value > 0 && value < 1 ? 2 : 1)
const millimetres = numeric((value) => `${value.toFixed(1)} mm`)

/** `1/250`, `0.5`, `30`. */
export function printExposureTime(seconds: number): string {
  if (seconds > 0 && seconds < 0.25001) return `1/${Math.floor(0.5 + 1 / seconds)}`
  return seconds.toFixed(1).replace(/\.0$/, '')
}

/** `0`, `+1`, `-1/2`, `+2/3`, else three digits. */
function printFraction(exact: number): string {
  const value = exact * 1.00001
  if (value === 0) return '0'
  const signed = (number: number) => (number < 0 ? `${number}` : `+${number}`)
  for (const parts of [1, 2, 3]) {
    const whole = Math.trunc(value * parts)
    if (whole / (value * parts) > 0.999) return parts === 1 ? signed(whole) : `${signed(whole)}/${parts}`
  }
  return signed(Number(value.toPrecision(3)))
}

/** `16-50mm f/2.8`, of shortest and longest focal length and the widest aperture at both. */
export function printLensInfo(values: number[]): string | undefined {
  if (values.length !== 4) return undefined
  const [shortest, longest, wideAtShort, wideAtLong] = values.map((value) =>
    Number.isFinite(value) && value > 0 ? Number(value.toPrecision(6)) : undefined,
  )
  let result = `${shortest ?? '?'}`
  if (longest !== undefined && longest !== shortest) result += `-${longest}`
  result += `mm f/${wideAtShort ?? '?'}`
  if (wideAtLong !== undefined && wideAtLong !== wideAtShort) result += `-${wideAtLong}`
  return result
}

/** Text with an 8 byte name of its character code before it. */
const codedText: Printer = (value, littleEndian) => {
  if (!Buffer.isBuffer(value)) return printPlain(value)
  const code = value.toString('latin1', 0, 8)
  const body = value.subarray(8)
  if (!code.startsWith('UNICODE')) {
    return /^(ASCII|\0)/.test(code) ? decodeText(body).trimEnd() : undefined
  }
  return decodeUtf16(body, littleEndian).trimEnd()
}

function decodeUtf16(bytes: Buffer, littleEndian: boolean): string {
  const whole = Buffer.from(bytes.subarray(0, bytes.length & ~1))
  const marked = whole.length >= 2 ? whole.readUInt16LE(0) : 0
  const isLittle = marked === 0xfeff ? true : marked === 0xfffe ? false : littleEndian
  const characters = (isLittle ? whole : whole.swap16()).toString('utf16le').replace(/^\ufeff/, '')
  return characters.split('\0', 1)[0]!
}

/** The Windows tags hold UTF-16 in bytes. */
const windowsText: Printer = (value) =>
  typeof value === 'string' ? value : decodeUtf16(Buffer.from(value as number[]), true)

const RESOLUTION_UNIT = choice({ 1: 'None', 2: 'inches', 3: 'cm' })
const LOW_NORMAL_HIGH = choice({ 0: 'Normal', 1: 'Low', 2: 'High' })
export const ORIENTATION_NAMES: Record<number, string> = {
  1: 'Horizontal (normal)',
  2: 'Mirror horizontal',
  3: 'Rotate 180',
  4: 'Mirror vertical',
  5: 'Mirror horizontal and rotate 270 CW',
  6: 'Rotate 90 CW',
  7: 'Mirror horizontal and rotate 90 CW',
  8: 'Rotate 270 CW',
}

const COMPRESSION = choice({
  1: 'Uncompressed',
  2: 'CCITT 1D',
  3: 'T4/Group 3 Fax',
  4: 'T6/Group 4 Fax',
  5: 'LZW',
  6: 'JPEG (old-style)',
  7: 'JPEG',
  8: 'Adobe Deflate',
  9: 'JBIG B&W',
  10: 'JBIG Color',
  99: 'JPEG',
  32773: 'PackBits',
  32946: 'Deflate',
  34712: 'JPEG 2000',
  34925: 'LZMA2',
  50000: 'Zstd',
  50001: 'WebP',
  50002: 'JPEG XL',
})

const PHOTOMETRIC = choice({
  0: 'WhiteIsZero',
  1: 'BlackIsZero',
  2: 'RGB',
  3: 'RGB Palette',
  4: 'Transparency Mask',
  5: 'CMYK',
  6: 'YCbCr',
  8: 'CIELab',
  9: 'ICCLab',
  10: 'ITULab',
  32803: 'Color Filter Array',
  32844: 'Pixar LogL',
  32845: 'Pixar LogLuv',
  34892: 'Linear Raw',
})

const FLASH = choice({
  0: 'No Flash',
  1: 'Fired',
  5: 'Fired, Return not detected',
  7: 'Fired, Return detected',
  8: 'On, Did not fire',
  9: 'On, Fired',
  13: 'On, Return not detected',
  15: 'On, Return detected',
  16: 'Off, Did not fire',
  20: 'Off, Did not fire, Return not detected',
  24: 'Auto, Did not fire',
  25: 'Auto, Fired',
  29: 'Auto, Fired, Return not detected',
  31: 'Auto, Fired, Return detected',
  32: 'No flash function',
  48: 'Off, No flash function',
  65: 'Fired, Red-eye reduction',
  69: 'Fired, Red-eye reduction, Return not detected',
  71: 'Fired, Red-eye reduction, Return detected',
  73: 'On, Red-eye reduction',
  77: 'On, Red-eye reduction, Return not detected',
  79: 'On, Red-eye reduction, Return detected',
  80: 'Off, Red-eye reduction',
  88: 'Auto, Did not fire, Red-eye reduction',
  89: 'Auto, Fired, Red-eye reduction',
  93: 'Auto, Fired, Red-eye reduction, Return not detected',
  95: 'Auto, Fired, Red-eye reduction, Return detected',
})

const LIGHT_SOURCE = choice({
  0: 'Unknown',
  1: 'Daylight',
  2: 'Fluorescent',
  3: 'Tungsten (Incandescent)',
  4: 'Flash',
  9: 'Fine Weather',
  10: 'Cloudy',
  11: 'Shade',
  12: 'Daylight Fluorescent',
  13: 'Day White Fluorescent',
  14: 'Cool White Fluorescent',
  15: 'White Fluorescent',
  16: 'Warm White Fluorescent',
  17: 'Standard Light A',
  18: 'Standard Light B',
  19: 'Standard Light C',
  20: 'D55',
  21: 'D65',
  22: 'D75',
  23: 'D50',
  24: 'ISO Studio Tungsten',
  255: 'Other',
})

const EXPOSURE_PROGRAM = choice({
  0: 'Not Defined',
  1: 'Manual',
  2: 'Program AE',
  3: 'Aperture-priority AE',
  4: 'Shutter speed priority AE',
  5: 'Creative (Slow speed)',
  6: 'Action (High speed)',
  7: 'Portrait',
  8: 'Landscape',
  9: 'Bulb',
})

const METERING_MODE = choice({
  0: 'Unknown',
  1: 'Average',
  2: 'Center-weighted average',
  3: 'Spot',
  4: 'Multi-spot',
  5: 'Multi-segment',
  6: 'Partial',
  255: 'Other',
})

export const COMPONENTS = ['-', 'Y', 'Cb', 'Cr', 'R', 'G', 'B']

function table(entries: [number, string, Printer?][]): Map<number, ExifTag> {
  return new Map(entries.map(([tag, name, print]) => [tag, print ? { name, print } : { name }]))
}

/** Tags of the image directories (IFD0, IFD1) and of the EXIF directory. */
export const IMAGE_TAGS = table([
  [0x000b, 'ProcessingSoftware'],
  [
    0x00fe,
    'SubfileType',
    choice({
      0: 'Full-resolution image',
      1: 'Reduced-resolution image',
      2: 'Single page of multi-page image',
      3: 'Single page of multi-page reduced-resolution image',
      4: 'Transparency mask',
    }),
  ],
  [
    0x00ff,
    'OldSubfileType',
    choice({
      1: 'Full-resolution image',
      2: 'Reduced-resolution image',
      3: 'Single page of multi-page image',
    }),
  ],
  [0x0100, 'ImageWidth'],
  [0x0101, 'ImageHeight'],
  [0x0102, 'BitsPerSample'],
  [0x0103, 'Compression', COMPRESSION],
  [0x0106, 'PhotometricInterpretation', PHOTOMETRIC],
  [
    0x0107,
    'Thresholding',
    choice({ 1: 'No dithering or halftoning', 2: 'Ordered dither or halftone', 3: 'Randomized dither' }),
  ],
  [0x010a, 'FillOrder', choice({ 1: 'Normal', 2: 'Reversed' })],
  [0x010d, 'DocumentName'],
  [0x010e, 'ImageDescription', trimmed],
  [0x010f, 'Make', trimmed],
  [0x0110, 'Model', trimmed],
  [0x0111, 'StripOffsets'],
  [0x0112, 'Orientation', choice(ORIENTATION_NAMES)],
  [0x0115, 'SamplesPerPixel'],
  [0x0116, 'RowsPerStrip'],
  [0x0117, 'StripByteCounts'],
  [0x011a, 'XResolution'],
  [0x011b, 'YResolution'],
  [0x011c, 'PlanarConfiguration', choice({ 1: 'Chunky', 2: 'Planar' })],
  [0x011d, 'PageName'],
  [0x0128, 'ResolutionUnit', RESOLUTION_UNIT],
  [0x0129, 'PageNumber'],
  [0x0131, 'Software', trimmed],
  [0x0132, 'ModifyDate'],
  [0x013b, 'Artist', trimmed],
  [0x013c, 'HostComputer'],
  [0x013d, 'Predictor', choice({ 1: 'None', 2: 'Horizontal differencing', 3: 'Floating point' })],
  [0x013e, 'WhitePoint'],
  [0x013f, 'PrimaryChromaticities'],
  [0x0142, 'TileWidth'],
  [0x0143, 'TileLength'],
  [0x0152, 'ExtraSamples', choice({ 0: 'Unspecified', 1: 'Associated Alpha', 2: 'Unassociated Alpha' })],
  [
    0x0153,
    'SampleFormat',
    choice({ 1: 'Unsigned', 2: 'Signed', 3: 'Float', 4: 'Undefined', 5: 'Complex int', 6: 'Complex float' }),
  ],
  [0x0202, 'ThumbnailLength'],
  [0x0211, 'YCbCrCoefficients'],
  [
    0x0212,
    'YCbCrSubSampling',
    (value) => {
      const key = Array.isArray(value) ? value.join(' ') : ''
      const name = {
        '1 1': '4:4:4',
        '2 1': '4:2:2',
        '2 2': '4:2:0',
        '4 1': '4:1:1',
        '4 2': '4:1:0',
        '1 2': '4:4:0',
      }[key]
      return `YCbCr${name ?? ''} (${key})`
    },
  ],
  [0x0213, 'YCbCrPositioning', choice({ 1: 'Centered', 2: 'Co-sited' })],
  [0x0214, 'ReferenceBlackWhite'],
  [0x1000, 'RelatedImageFileFormat'],
  [0x1001, 'RelatedImageWidth'],
  [0x1002, 'RelatedImageHeight'],
  [0x4746, 'Rating'],
  [0x4749, 'RatingPercent'],
  [0x8298, 'Copyright', trimmed],
  [0x829a, 'ExposureTime', numeric(printExposureTime)],
  [0x829d, 'FNumber', numeric(aperture)],
  [0x8822, 'ExposureProgram', EXPOSURE_PROGRAM],
  [0x8824, 'SpectralSensitivity'],
  [0x8827, 'ISO'],
  [0x882a, 'TimeZoneOffset'],
  [0x882b, 'SelfTimerMode'],
  [
    0x8830,
    'SensitivityType',
    choice({
      0: 'Unknown',
      1: 'Standard Output Sensitivity',
      2: 'Recommended Exposure Index',
      3: 'ISO Speed',
      4: 'Standard Output Sensitivity and Recommended Exposure Index',
      5: 'Standard Output Sensitivity and ISO Speed',
      6: 'Recommended Exposure Index and ISO Speed',
      7: 'Standard Output Sensitivity, Recommended Exposure Index and ISO Speed',
    }),
  ],
  [0x8831, 'StandardOutputSensitivity'],
  [0x8832, 'RecommendedExposureIndex'],
  [0x8833, 'ISOSpeed'],
  [0x8834, 'ISOSpeedLatitudeyyy'],
  [0x8835, 'ISOSpeedLatitudezzz'],
  [0x9000, 'ExifVersion', text],
  [0x9003, 'DateTimeOriginal'],
  [0x9004, 'CreateDate'],
  [0x9010, 'OffsetTime'],
  [0x9011, 'OffsetTimeOriginal'],
  [0x9012, 'OffsetTimeDigitized'],
  [
    0x9101,
    'ComponentsConfiguration',
    (value) =>
      Buffer.isBuffer(value)
        ? [...value].map((component) => COMPONENTS[component] ?? `Err (${component})`).join(',')
        : undefined,
  ],
  [0x9102, 'CompressedBitsPerPixel'],
  [
    0x9201,
    'ShutterSpeedValue',
    numeric((value) => printExposureTime(Math.abs(value) < 100 ? 2 ** -value : 0)),
  ],
  [0x9202, 'ApertureValue', numeric((value) => (2 ** (value / 2)).toFixed(1))],
  [0x9203, 'BrightnessValue'],
  [0x9204, 'ExposureCompensation', numeric(printFraction)],
  [0x9205, 'MaxApertureValue', numeric((value) => (2 ** (value / 2)).toFixed(1))],
  [0x9206, 'SubjectDistance', numeric((value) => `${rounded(value)} m`)],
  [0x9207, 'MeteringMode', METERING_MODE],
  [0x9208, 'LightSource', LIGHT_SOURCE],
  [0x9209, 'Flash', FLASH],
  [0x920a, 'FocalLength', millimetres],
  [0x9211, 'ImageNumber'],
  [0x9213, 'ImageHistory'],
  [0x9214, 'SubjectArea'],
  [0x9286, 'UserComment', codedText],
  [0x9290, 'SubSecTime'],
  [0x9291, 'SubSecTimeOriginal'],
  [0x9292, 'SubSecTimeDigitized'],
  [0x9400, 'AmbientTemperature', numeric((value) => `${rounded(value)} C`)],
  [0x9401, 'Humidity'],
  [0x9402, 'Pressure'],
  [0x9403, 'WaterDepth'],
  [0x9404, 'Acceleration'],
  [0x9405, 'CameraElevationAngle'],
  [0x9c9b, 'XPTitle', windowsText],
  [0x9c9c, 'XPComment', windowsText],
  [0x9c9d, 'XPAuthor', windowsText],
  [0x9c9e, 'XPKeywords', windowsText],
  [0x9c9f, 'XPSubject', windowsText],
  [0xa000, 'FlashpixVersion', text],
  [
    0xa001,
    'ColorSpace',
    choice({
      1: 'sRGB',
      2: 'Adobe RGB',
      65533: 'Wide Gamut RGB',
      65534: 'ICC Profile',
      65535: 'Uncalibrated',
    }),
  ],
  [0xa002, 'ExifImageWidth'],
  [0xa003, 'ExifImageHeight'],
  [0xa004, 'RelatedSoundFile'],
  [0xa20b, 'FlashEnergy'],
  [0xa20e, 'FocalPlaneXResolution'],
  [0xa20f, 'FocalPlaneYResolution'],
  [0xa210, 'FocalPlaneResolutionUnit', choice({ 1: 'None', 2: 'inches', 3: 'cm', 4: 'mm', 5: 'um' })],
  [0xa214, 'SubjectLocation'],
  [0xa215, 'ExposureIndex'],
  [
    0xa217,
    'SensingMethod',
    choice({
      1: 'Not defined',
      2: 'One-chip color area',
      3: 'Two-chip color area',
      4: 'Three-chip color area',
      5: 'Color sequential area',
      7: 'Trilinear',
      8: 'Color sequential linear',
    }),
  ],
  [0xa300, 'FileSource', choice({ 1: 'Film Scanner', 2: 'Reflection Print Scanner', 3: 'Digital Camera' })],
  [0xa301, 'SceneType', choice({ 1: 'Directly photographed' })],
  [
    0xa401,
    'CustomRendered',
    choice({
      0: 'Normal',
      1: 'Custom',
      2: 'HDR (no original saved)',
      3: 'HDR (original saved)',
      4: 'Original (for HDR)',
      6: 'Panorama',
      7: 'Portrait HDR',
      8: 'Portrait',
    }),
  ],
  [0xa402, 'ExposureMode', choice({ 0: 'Auto', 1: 'Manual', 2: 'Auto bracket' })],
  [0xa403, 'WhiteBalance', choice({ 0: 'Auto', 1: 'Manual' })],
  [0xa404, 'DigitalZoomRatio'],
  [0xa405, 'FocalLengthIn35mmFormat', numeric((value) => `${value} mm`)],
  [
    0xa406,
    'SceneCaptureType',
    choice({ 0: 'Standard', 1: 'Landscape', 2: 'Portrait', 3: 'Night', 4: 'Other' }),
  ],
  [
    0xa407,
    'GainControl',
    choice({ 0: 'None', 1: 'Low gain up', 2: 'High gain up', 3: 'Low gain down', 4: 'High gain down' }),
  ],
  [0xa408, 'Contrast', LOW_NORMAL_HIGH],
  [0xa409, 'Saturation', LOW_NORMAL_HIGH],
  [0xa40a, 'Sharpness', choice({ 0: 'Normal', 1: 'Soft', 2: 'Hard' })],
  [0xa40c, 'SubjectDistanceRange', choice({ 0: 'Unknown', 1: 'Macro', 2: 'Close', 3: 'Distant' })],
  [0xa420, 'ImageUniqueID'],
  [0xa430, 'OwnerName'],
  [0xa431, 'SerialNumber'],
  [0xa432, 'LensInfo', (value) => (Array.isArray(value) ? printLensInfo(value) : undefined)],
  [0xa433, 'LensMake'],
  [0xa434, 'LensModel'],
  [0xa435, 'LensSerialNumber'],
  [
    0xa460,
    'CompositeImage',
    choice({
      0: 'Unknown',
      1: 'Not a Composite Image',
      2: 'General Composite Image',
      3: 'Composite Image Captured While Shooting',
    }),
  ],
  [0xa461, 'CompositeImageCount'],
  [0xa500, 'Gamma'],
  [0xc612, 'DNGVersion'],
  [0xc614, 'UniqueCameraModel'],
])

const NORTH_SOUTH = choice({ N: 'North', S: 'South' })
const EAST_WEST = choice({ E: 'East', W: 'West' })
const DIRECTION = choice({ M: 'Magnetic North', T: 'True North' })
const DISTANCE = choice({ K: 'Kilometers', M: 'Miles', N: 'Nautical Miles' })
const metres = numeric((value) => `${rounded(value)} m`)

/** `43 deg 11' 52.08"`, from degrees, minutes and seconds that may all be fractions. */
const degrees: Printer = (value) => {
  if (typeof value === 'string') return value
  if (!Array.isArray(value) || value.length === 0) return undefined
  const [whole = 0, minutes = 0, seconds = 0] = value.map((part) => (Number.isFinite(part) ? part : 0))
  const total = Math.abs(whole) + minutes / 60 + seconds / 3600
  // Half a hundredth of a second first, so that no 60 appears.
  const hundredths = Math.round(total * 360_000)
  const second = ((hundredths % 6000) / 100).toFixed(2)
  return `${Math.floor(hundredths / 360_000)} deg ${Math.floor(hundredths / 6000) % 60}' ${second}"`
}

const timeOfDay: Printer = (value) => {
  if (typeof value === 'string') return value
  if (!Array.isArray(value) || value.length < 3 || !value.every(Number.isFinite)) return undefined
  const total = value[0]! * 3600 + value[1]! * 60 + value[2]!
  const pad = (number: number) => `${number}`.padStart(2, '0')
  const seconds = Number((total % 60).toFixed(9))
  const [whole, fraction] = `${seconds}`.split('.')
  return `${pad(Math.floor(total / 3600))}:${pad(Math.floor(total / 60) % 60)}:${pad(Number(whole))}${fraction ? `.${fraction}` : ''}`
}

export const GPS_TAGS = table([
  [0x00, 'GPSVersionID', (value) => (Array.isArray(value) ? value.join('.') : undefined)],
  [0x01, 'GPSLatitudeRef', NORTH_SOUTH],
  [0x02, 'GPSLatitude', degrees],
  [0x03, 'GPSLongitudeRef', EAST_WEST],
  [0x04, 'GPSLongitude', degrees],
  [0x05, 'GPSAltitudeRef', choice({ 0: 'Above Sea Level', 1: 'Below Sea Level' })],
  [0x06, 'GPSAltitude', metres],
  [0x07, 'GPSTimeStamp', timeOfDay],
  [0x08, 'GPSSatellites'],
  [0x09, 'GPSStatus', choice({ A: 'Measurement Active', V: 'Measurement Void' })],
  [0x0a, 'GPSMeasureMode', choice({ 2: '2-Dimensional Measurement', 3: '3-Dimensional Measurement' })],
  [0x0b, 'GPSDOP'],
  [0x0c, 'GPSSpeedRef', choice({ K: 'km/h', M: 'mph', N: 'knots' })],
  [0x0d, 'GPSSpeed'],
  [0x0e, 'GPSTrackRef', DIRECTION],
  [0x0f, 'GPSTrack'],
  [0x10, 'GPSImgDirectionRef', DIRECTION],
  [0x11, 'GPSImgDirection'],
  [0x12, 'GPSMapDatum'],
  [0x13, 'GPSDestLatitudeRef', NORTH_SOUTH],
  [0x14, 'GPSDestLatitude', degrees],
  [0x15, 'GPSDestLongitudeRef', EAST_WEST],
  [0x16, 'GPSDestLongitude', degrees],
  [0x17, 'GPSDestBearingRef', DIRECTION],
  [0x18, 'GPSDestBearing'],
  [0x19, 'GPSDestDistanceRef', DISTANCE],
  [0x1a, 'GPSDestDistance'],
  [0x1b, 'GPSProcessingMethod', codedText],
  [0x1c, 'GPSAreaInformation', codedText],
  [0x1d, 'GPSDateStamp'],
  [0x1e, 'GPSDifferential', choice({ 0: 'No Correction', 1: 'Differential Corrected' })],
  [0x1f, 'GPSHPositioningError', metres],
])

export const INTEROPERABILITY_TAGS = table([
  [
    0x0001,
    'InteropIndex',
    choice({
      R98: 'R98 - DCF basic file (sRGB)',
      R03: 'R03 - DCF option file (Adobe RGB)',
      THM: 'THM - DCF thumbnail file',
    }),
  ],
  [0x0002, 'InteropVersion', text],
  [0x1000, 'RelatedImageFileFormat'],
  [0x1001, 'RelatedImageWidth'],
  [0x1002, 'RelatedImageHeight'],
])

/** XMP keeps the parts of EXIF's Flash apart. */
const XMP_FLASH: ExifTag[] = [
  { name: 'FlashMode', print: choice({ 0: 'Unknown', 1: 'On', 2: 'Off', 3: 'Auto' }) },
  {
    name: 'FlashReturn',
    print: choice({ 0: 'No return detection', 2: 'Return not detected', 3: 'Return detected' }),
  },
]

/** The printers of XMP's copies of EXIF tags, by name. */
export const PRINTERS_BY_NAME = new Map(
  [...IMAGE_TAGS.values(), ...GPS_TAGS.values(), ...XMP_FLASH].flatMap(({ name, print }) =>
    print ? [[name, print] as const] : [],
  ),
)
