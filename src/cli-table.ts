import type { CommandContext } from './cli-commands.ts'

/** Rows under the names of their members, or as JSON. Whatever a row holds cannot command the terminal. */
export function showTable(
  context: CommandContext,
  rows: Record<string, string | number>[],
  none: string,
): void {
  if (context.options.has('json') || rows.length === 0) {
    context.print(context.options.has('json') ? JSON.stringify(rows) : none)
    return
  }
  const names = Object.keys(rows[0]!)
  const table = [
    names.map((name) => name.replace(/[A-Z]/g, ' $&').toUpperCase()),
    ...rows.map((row) => names.map((name) => String(row[name]).replace(/\p{Cc}+/gu, ' '))),
  ]
  const widths = names.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)))
  for (const cells of table) {
    context.print(
      cells
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
  }
}

/** A time as text; empty for none. */
export function isoOf(timeMs: number | null): string {
  return timeMs === null ? '' : new Date(timeMs).toISOString()
}
