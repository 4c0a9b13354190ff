import { dirname, join } from 'node:path/posix'
import { type Import, scanSource } from './source-scan.ts'

/** Which floor a unit is on. Code imports only from lower floors, and units of one floor know nothing of each other. */
const FLOORS: Record<string, number> = {
  process: 7,
  'compose.ts': 6,
  config: 5,
  http: 4,
  worker: 4,
  library: 3,
  delivery: 3,
  transform: 2,
  store: 2,
  blobs: 2,
  extensions: 2,
  origins: 2,
  counters: 2,
  query: 1,
  signing: 1,
  media: 1,
  kernel: 0,
}

/** Doors into a folder beside the one that carries its name. */
const SIDE_DOORS = new Set([
  'transform/catalog.ts',
  // Apart from config.ts, so that the schema can be had without reading the environment.
  'config/load.ts',
])

/** Files that have to be able to run in a browser: they import nothing but others that could. */
const PURE =
  /^(?:query\/.+|transform\/(?:ast|codecs|parse|print|expr|catalog|plan[\w-]*|params\/.+)|delivery\/(?:address|negotiate|headers|svg|rewriters\/.+))\.ts$/

/** Packages that only some places may name. */
const HOMES: { packages: RegExp; homes: RegExp }[] = [
  { packages: /^(?:fastify|@fastify\/.+)$/, homes: /^http\// },
  { packages: /^(?:kysely|pg|node:sqlite)(?:\/.*)?$/, homes: /^store\// },
  { packages: /^@redis\//, homes: /^counters\// },
  { packages: /^sharp$/, homes: /^(?:transform\/image|media|extensions\/local)\// },
  { packages: /^onnxruntime-node$/, homes: /^extensions\/local\// },
  { packages: /^(?:@aws-sdk|@smithy|@google-cloud|@azure)\//, homes: /^(?:blobs|extensions|origins)\// },
  { packages: /^(?:node:)?child_process$/, homes: /^kernel\/exec\.ts$/ },
]

/** Path of the package's description from src/. */
export const PACKAGE_FILE = '../package.json'

/** Where settings come in. */
const ENVIRONMENT_HOME = 'config/load.ts'

/**
 * Holds source files against the house's rules: floors, front doors, pure files, homes of packages.
 * @param sources path below src/ to text.
 * @returns one line for each breach, empty when there is none.
 */
export function findBreaches(sources: Map<string, string>): string[] {
  const breaches: string[] = []
  const scans = new Map([...sources].map(([path, text]) => [path, scanSource(text)]))
  for (const [path, { imports, code }] of scans) {
    const floor = FLOORS[unitOf(path)]
    if (floor === undefined) breaches.push(`${path}: ${unitOf(path)} is on no floor`)
    if (path !== ENVIRONMENT_HOME && /\bprocess\s*\.\s*env\b|\benv\b[^;\n]*=\s*process\b/.test(code)) {
      breaches.push(`${path}: reads process.env, which is for ${ENVIRONMENT_HOME}`)
    }
    for (const entry of imports) {
      const target = resolveImport(path, entry.specifier)
      if (target === undefined) {
        for (const { packages, homes } of HOMES) {
          if (packages.test(entry.specifier) && !homes.test(path)) {
            breaches.push(`${path}: ${entry.specifier} is away from its home`)
          }
        }
      } else breaches.push(...checkNeighbour(path, target))
      if (PURE.test(path) && !entry.typeOnly && !isPureImport(path, entry, scans)) {
        breaches.push(`${path}: a pure file imports ${entry.specifier}`)
      }
    }
  }
  return breaches
}

function checkNeighbour(path: string, target: string): string[] {
  // The process says which version it is.
  if (target === PACKAGE_FILE && unitOf(path) === 'process') return []
  const [from, to] = [unitOf(path), unitOf(target)]
  if (from === to) return []
  const [fromFloor, toFloor] = [FLOORS[from], FLOORS[to]]
  if (fromFloor === undefined || toFloor === undefined)
    return [`${path}: imports ${target}, which is on no floor`]
  if (toFloor > fromFloor) return [`${path}: imports ${target} from a higher floor`]
  if (toFloor === fromFloor) return [`${path}: imports ${target} from its own floor`]
  const isDoor = to === 'kernel' || target === to || target === `${to}/${to}.ts` || SIDE_DOORS.has(target)
  // The composition root is the one place that names concrete drivers, which stand beside their front door.
  const namesDriver = from === 'compose.ts' && dirname(target) === to
  return isDoor || namesDriver ? [] : [`${path}: imports ${target}, not the front door of ${to}`]
}

/** Whether an import leads only to files that could run in a browser, however far one follows it. */
function isPureImport(path: string, entry: Import, scans: Map<string, { imports: Import[] }>): boolean {
  const target = resolveImport(path, entry.specifier)
  if (target === undefined) return false
  if (PURE.test(target)) return true
  return (scans.get(target)?.imports ?? []).every(
    (next) => next.typeOnly || isPureImport(target, next, scans),
  )
}

/** The folder below src/ that a file belongs to. Files in src/ itself are the process, but for the composition root. */
function unitOf(path: string): string {
  if (!path.includes('/') && path !== 'compose.ts') return 'process'
  return path.split('/')[0]!
}

/** Path below src/ of a relative import; undefined for a package. */
function resolveImport(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? join(dirname(path), specifier) : undefined
}
