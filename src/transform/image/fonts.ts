import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../kernel/log.ts'
import { BUILT_IN_FONTS, FALLBACK_FONTS } from './font-table.ts'

/** The fonts of the render processes. */
export type Fonts = {
  /** Path of a fontconfig file that knows our fonts and no others, so that text looks the same on every machine. */
  readonly configFile: string
  dispose(): void
}

/** Gathers the font files from their packages. Those that are missing are left out, with a warning. */
export function prepareFonts(log: Log): Fonts {
  const require = createRequire(import.meta.url)
  const dir = mkdtempSync(join(tmpdir(), 'tintype-fonts-'))
  const fontDir = join(dir, 'fonts')
  mkdirSync(fontDir)
  const wanted = [...BUILT_IN_FONTS.values(), ...FALLBACK_FONTS]
  for (const { package: name, files } of wanted) {
    try {
      const root = dirname(require.resolve(`${name}/package.json`))
      for (const file of files) {
        const path = join(root, file)
        if (existsSync(path)) symlinkSync(path, join(fontDir, basename(file)))
        else log.warn({ package: name, file }, 'a font file is missing')
      }
    } catch {
      log.warn({ package: name }, 'a font package is missing; text in its font looks different')
    }
  }
  const configFile = join(dir, 'fonts.conf')
  writeFileSync(configFile, fontConfig(fontDir, join(dir, 'cache')))
  return { configFile, dispose: () => rmSync(dir, { recursive: true, force: true }) }
}

/** Font packages and files that text would be drawn without. */
export function missingFonts(): string[] {
  const missing: string[] = []
  const note = (fields: object) => {
    const { package: name, file } = fields as { package: string; file?: string }
    missing.push(file === undefined ? name : `${name}/${file}`)
  }
  const log: Log = { debug() {}, info() {}, warn: note, error: note, child: () => log }
  prepareFonts(log).dispose()
  return missing
}

function fontConfig(fontDir: string, cacheDir: string): string {
  const prefer = FALLBACK_FONTS.map(({ family }) => `<family>${family}</family>`).join('')
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${fontDir}</dir>
  <cachedir>${cacheDir}</cachedir>
  <match target="font"><edit name="antialias" mode="assign"><bool>true</bool></edit>
    <edit name="hinting" mode="assign"><bool>false</bool></edit></match>
  <alias><family>sans-serif</family><prefer><family>Open Sans</family>${prefer}</prefer></alias>
  <alias binding="strong"><family>emoji</family><prefer><family>Noto Color Emoji</family></prefer></alias>
  <alias><family>sans</family><prefer><family>Open Sans</family>${prefer}</prefer></alias>
</fontconfig>
`
}
