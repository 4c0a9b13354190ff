import { hash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
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

/**
 * Gathers the font files from their packages. Those that are missing are left out, with a warning.
 * @param cacheDir folder to keep them in, with what fontconfig works out about them: reading 40 fonts anew takes more
 * than a second of the first text. Absent: a temporary one.
 */
export function prepareFonts(log: Log, cacheDir?: string): Fonts {
  const paths = findFontFiles(log)
  if (cacheDir === undefined) {
    const dir = mkdtempSync(join(tmpdir(), 'tintype-fonts-'))
    fill(dir, dir, paths)
    return {
      configFile: join(dir, CONFIG_FILE),
      dispose: () => rmSync(dir, { recursive: true, force: true }),
    }
  }
  const facts = paths.map((path) => [path, statSync(path).size, statSync(path).mtimeMs])
  const name = `${KEPT_PREFIX}${hash('sha256', JSON.stringify([facts, fontConfig('', '')])).slice(0, 16)}`
  const dir = join(cacheDir, name)
  if (!existsSync(join(dir, CONFIG_FILE))) {
    mkdirSync(cacheDir, { recursive: true, mode: 0o700 })
    // Other servers on the same folder may do the same at the same time: what is there is always whole.
    const fresh = mkdtempSync(join(cacheDir, 'new-'))
    fill(fresh, dir, paths)
    try {
      renameSync(fresh, dir)
    } catch {
      rmSync(fresh, { recursive: true, force: true })
    }
  }
  return { configFile: join(dir, CONFIG_FILE), dispose: () => {} }
}

const CONFIG_FILE = 'fonts.conf'
const KEPT_PREFIX = 'fonts-'

function findFontFiles(log: Log): string[] {
  const require = createRequire(import.meta.url)
  const paths: string[] = []
  for (const { package: name, files } of [...BUILT_IN_FONTS.values(), ...FALLBACK_FONTS]) {
    try {
      const root = dirname(require.resolve(`${name}/package.json`))
      for (const file of files) {
        const path = join(root, file)
        if (existsSync(path)) paths.push(path)
        else log.warn({ package: name, file }, 'a font file is missing')
      }
    } catch {
      log.warn({ package: name }, 'a font package is missing; text in its font looks different')
    }
  }
  return paths
}

/** Fills a folder that is going to be at `finalDir`. */
function fill(dir: string, finalDir: string, paths: string[]) {
  mkdirSync(join(dir, 'fonts'))
  for (const path of paths) symlinkSync(path, join(dir, 'fonts', basename(path)))
  writeFileSync(join(dir, CONFIG_FILE), fontConfig(join(finalDir, 'fonts'), join(finalDir, 'cache')))
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
