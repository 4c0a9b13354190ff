/** The D50-adapted colorants of sRGB in its ICC profiles (X, Y, Z of red, green, blue). */
const SRGB_COLORANTS = {
  rXYZ: [0.4361, 0.2225, 0.0139],
  gXYZ: [0.3851, 0.7169, 0.0971],
  bXYZ: [0.1431, 0.0606, 0.7141],
} as const

const TOLERANCE = 0.002

/**
 * Whether an ICC profile is an RGB matrix profile with sRGB's primaries and its tone curve, so that converting to sRGB would
 * change nothing visible. Anything that is not understood is not sRGB.
 */
export function isSrgbProfile(profile: Buffer): boolean {
  if (profile.length < 132 || profile.toString('latin1', 16, 20) !== 'RGB ') return false
  const count = profile.readUInt32BE(128)
  if (count > 100 || 132 + count * 12 > profile.length) return false
  const tags = new Map<string, number>()
  for (let i = 0; i < count; i++) {
    const at = 132 + i * 12
    tags.set(profile.toString('latin1', at, at + 4), profile.readUInt32BE(at + 4))
  }
  // A table for the perceptual intent overrides the matrix.
  if (tags.has('A2B0')) return false
  for (const [tag, expected] of Object.entries(SRGB_COLORANTS)) {
    const at = tags.get(tag)
    if (at === undefined || at + 20 > profile.length) return false
    for (const [index, value] of expected.entries()) {
      if (Math.abs(profile.readInt32BE(at + 8 + index * 4) / 65_536 - value) > TOLERANCE) return false
    }
  }
  return ['rTRC', 'gTRC', 'bTRC'].every((tag) => isSrgbCurve(profile, tags.get(tag)))
}

/** Compares a tone curve with sRGB's at three points. */
function isSrgbCurve(profile: Buffer, at: number | undefined): boolean {
  if (at === undefined || at + 12 > profile.length) return false
  const type = profile.toString('latin1', at, at + 4)
  return [0.1, 0.5, 0.9].every((value) => {
    const actual = type === 'curv' ? tableValue(profile, at, value) : parametricValue(profile, at, value)
    return actual !== undefined && Math.abs(actual - ((value + 0.055) / 1.055) ** 2.4) < 0.003
  })
}

function tableValue(profile: Buffer, at: number, value: number): number | undefined {
  const count = profile.readUInt32BE(at + 8)
  if (count < 16 || at + 12 + count * 2 > profile.length) return undefined
  const index = value * (count - 1)
  const low = Math.floor(index)
  const first = profile.readUInt16BE(at + 12 + low * 2)
  const second = profile.readUInt16BE(at + 12 + Math.min(count - 1, low + 1) * 2)
  return (first + (second - first) * (index - low)) / 65_535
}

function parametricValue(profile: Buffer, at: number, value: number): number | undefined {
  if (profile.toString('latin1', at, at + 4) !== 'para' || profile.readUInt16BE(at + 8) !== 3)
    return undefined
  if (at + 32 > profile.length) return undefined
  const [g, a, b, c, d] = [0, 1, 2, 3, 4].map((i) => profile.readInt32BE(at + 12 + i * 4) / 65_536)
  return value >= d! ? (a! * value + b!) ** g! : c! * value
}
