export type FontSource = {
  /** The family name inside the font files. */
  family: string
  /** npm package that holds the files. */
  package: string
  files: string[]
}

function google(packageName: string, family: string, stem: string, styles: readonly Style[]): FontSource {
  return {
    family,
    package: `@expo-google-fonts/${packageName}`,
    files: styles.map((style) => `${style}/${stem}_${style}.ttf`),
  }
}

/** Packages of the older layout keep their files in the root. */
function flat(packageName: string, family: string, stem: string, styles: readonly Style[]): FontSource {
  return {
    family,
    package: `@expo-google-fonts/${packageName}`,
    files: styles.map((style) => `${stem}_${style}.ttf`),
  }
}

type Style = '400Regular' | '700Bold' | '400Regular_Italic' | '700Bold_Italic'
const ONE = ['400Regular'] as const
const ALL = ['400Regular', '700Bold', '400Regular_Italic', '700Bold_Italic'] as const

/** The built-in fonts by the name that `ff` takes (manual, supported text font list), brought into a comparable form. */
export const BUILT_IN_FONTS: ReadonlyMap<string, FontSource> = new Map(
  Object.entries({
    AbrilFatFace: google('abril-fatface', 'Abril Fatface', 'AbrilFatface', ONE),
    Amaranth: google('amaranth', 'Amaranth', 'Amaranth', ALL),
    Arvo: google('arvo', 'Arvo', 'Arvo', ALL),
    Audiowide: google('audiowide', 'Audiowide', 'Audiowide', ONE),
    Chivo: google('chivo', 'Chivo', 'Chivo', ALL),
    'Crimson Text': google('crimson-text', 'Crimson Text', 'CrimsonText', ALL),
    exo: google('exo', 'Exo', 'Exo', ALL),
    'Fredoka One': flat('fredoka-one', 'Fredoka One', 'FredokaOne', ONE),
    'Gravitas One': google('gravitas-one', 'Gravitas One', 'GravitasOne', ONE),
    Kanit: google('kanit', 'Kanit', 'Kanit', ALL),
    Lato: google('lato', 'Lato', 'Lato', ALL),
    Lobster: google('lobster', 'Lobster', 'Lobster', ONE),
    Lora: google('lora', 'Lora', 'Lora', ALL),
    Monoton: google('monoton', 'Monoton', 'Monoton', ONE),
    Montserrat: google('montserrat', 'Montserrat', 'Montserrat', ALL),
    'PT Mono': google('pt-mono', 'PT Mono', 'PTMono', ONE),
    PT_Serif: google('pt-serif', 'PT Serif', 'PTSerif', ALL),
    'Open Sans': google('open-sans', 'Open Sans', 'OpenSans', ALL),
    Roboto: google('roboto', 'Roboto', 'Roboto', ALL),
    'Old Standard': flat('old-standard-tt', 'Old Standard TT', 'OldStandardTT', [
      '400Regular',
      '700Bold',
      '400Regular_Italic',
    ]),
    Ubuntu: google('ubuntu', 'Ubuntu', 'Ubuntu', ALL),
    Vollkorn: google('vollkorn', 'Vollkorn', 'Vollkorn', ALL),
  }).map(([name, source]) => [comparable(name), source]),
)

/** Fonts for what the chosen one has no letters for, in order of preference. */
export const FALLBACK_FONTS: readonly FontSource[] = [
  {
    family: 'DejaVu Sans',
    package: 'dejavu-fonts-ttf',
    files: [
      'ttf/DejaVuSans.ttf',
      'ttf/DejaVuSans-Bold.ttf',
      'ttf/DejaVuSans-Oblique.ttf',
      'ttf/DejaVuSans-BoldOblique.ttf',
    ],
  },
  google('noto-sans-arabic', 'Noto Sans Arabic', 'NotoSansArabic', ['400Regular', '700Bold']),
  google('noto-sans-hebrew', 'Noto Sans Hebrew', 'NotoSansHebrew', ['400Regular', '700Bold']),
  google('noto-sans-devanagari', 'Noto Sans Devanagari', 'NotoSansDevanagari', ['400Regular', '700Bold']),
  google('noto-color-emoji', 'Noto Color Emoji', 'NotoColorEmoji', ONE),
]

/** Names compare without case, spaces, underscores and hyphens: `PT_Serif`, `PT Serif` and `pt-serif` are one font. */
export function comparable(name: string): string {
  return name.toLowerCase().replace(/[\s_-]/g, '')
}
