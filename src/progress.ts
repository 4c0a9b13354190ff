import type { Progress } from './library/library.ts'

const BAR_WIDTH = 24
const REDRAW_MS = 100
const LINE_MS = 5000

export type ProgressLine = {
  show(progress: Progress): void
  /** Leaves what follows a line of its own. */
  end(): void
}

/** Shows how far a long run is: a bar on a terminal, a line now and then elsewhere. */
export function createProgressLine(
  output: { isTTY?: boolean; write(text: string): unknown } = process.stderr,
  now: () => number = () => performance.now(),
): ProgressLine {
  const everyMs = output.isTTY ? REDRAW_MS : LINE_MS
  let shownMs = now() - (output.isTTY ? REDRAW_MS : 0)
  let isOpen = false
  let last: Progress | undefined
  const draw = (progress: Progress) => {
    shownMs = now()
    isOpen = true
    output.write(output.isTTY ? `\r\u001b[K${barOf(progress)}${textOf(progress)}` : `${textOf(progress)}\n`)
  }
  return {
    show(progress) {
      const isOther = last !== undefined && last.what !== progress.what
      if (isOther && output.isTTY && isOpen) {
        draw(last!)
        output.write('\n')
      }
      last = progress
      if (now() - shownMs >= everyMs) draw(progress)
    },
    end() {
      if (last !== undefined && isOpen) draw(last)
      if (isOpen && output.isTTY) output.write('\n')
      isOpen = false
    },
  }
}

function barOf({ done, total }: Progress): string {
  if (total === 0) return ''
  const filled = Math.round((Math.min(done, total) / total) * BAR_WIDTH)
  return `[${'#'.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}] ${String(Math.floor((Math.min(done, total) / total) * 100)).padStart(3)} % `
}

function textOf({ what, done, total, bytes }: Progress): string {
  const of = total > 0 ? ` of ${total}` : ''
  return `${what.replaceAll('_', ' ')}: ${done}${of}${bytes > 0 ? `, ${describeBytes(bytes)}` : ''}`
}

/** `12.3 MiB`. */
export function describeBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
