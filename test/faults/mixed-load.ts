import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { randomFrom } from '../support/random.ts'
import type { Server } from '../support/server.ts'

/** What the library says of one file, and which bytes it has to give. */
type FileState = { sha256: string; sizeBytes: number; tags: string; version: number }
/** The files of one client by path. */
type World = ReadonlyMap<string, FileState>

type Operation = {
  kind: string
  /** What it touches, so that the bytes are looked at after a crash. */
  paths: string[]
  /** The world once it has happened. */
  after: World
  /** @returns the answer that acknowledges it. */
  send(server: Server): Promise<Answer>
}

/** What came of the requests of all clients. */
export type Counts = Record<string, number>

export type Kind =
  | 'upload'
  | 'small upload'
  | 'picture upload'
  | 'streamed upload'
  | 'new version'
  | 'delete'
  | 'copy'
  | 'move'
  | 'folder rename'
  | 'tags'
  | 'render'
  | 'download'

export type Client = {
  /**
   * One request, of a random kind if none is named, on files of its own. Resolves when it has been answered or has
   * failed, with whether it was acknowledged.
   */
  step(server: Server, kind?: Kind): Promise<boolean>
  /**
   * Holds what the library lists against what was acknowledged; what was under way when its answer was lost may have
   * happened or not, but wholly. Afterwards this is what is known.
   */
  check(server: Server, options: { everyByte: boolean }): Promise<void>
  /** Files that have to be there, and how many of them are pictures. */
  readonly size: number
  readonly pictures: number
}

/** Small ones wait in memory, those above 1 MiB are streamed to a file while they arrive. */
const SIZES = [0, 400, 5_000, 60_000, 300_000, 1_300_000, 3_200_000]
const FOLDERS = ['a', 'b', 'c']
const MOST_FILES = 24

/**
 * A client that keeps to a folder of its own and has at most one request under way, so that everything the library
 * may hold after a crash is known: the world before the request, or the one after it.
 * @param refused takes what should not have been answered.
 */
export function createClient(
  options: { name: string; seed: number; counts: Counts },
  refused: string[],
): Client {
  const root = `/${options.name}`
  const random = randomFrom(options.seed)
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)]!
  let made = 0
  let world: World = new Map()
  let pending: Operation | undefined
  const touched = new Set<string>()
  const fileIds = new Map<string, string>()

  const makeBody = (size = pick(SIZES), isPicture = random() < 0.4) => {
    made += 1
    const body = Buffer.concat([
      isPicture ? png(16, 12, made * 31) : Buffer.alloc(0),
      Buffer.alloc(size, made & 255),
    ])
    const mark = Buffer.from(`${options.name} ${made} ${options.seed}`)
    return { bytes: Buffer.concat([body, mark]), extension: isPicture ? 'png' : 'bin' }
  }
  const freshPath = (extension: string) =>
    `${root}/${pick(FOLDERS)}/f${made}-${Math.floor(random() * 1e6)}.${extension}`
  const withFile = (path: string, state: FileState | undefined, from: World = world): World => {
    const changed = new Map(from)
    if (state) changed.set(path, state)
    else changed.delete(path)
    return changed
  }
  const stateOf = (bytes: Buffer, version: number, tags: string): FileState => ({
    sha256: sha256(bytes),
    sizeBytes: bytes.length,
    tags,
    version,
  })
  const call = (server: Server, method: string, path: string, body?: object) =>
    send(server, path, {
      method,
      headers: {
        authorization: basic(server.privateKey),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const upload = (kind: string, path: string, bytes: Buffer, before: FileState | undefined): Operation => {
    const tags = `t${made}`
    return {
      kind,
      paths: [path],
      after: withFile(path, stateOf(bytes, (before?.version ?? 0) + 1, tags)),
      async send(server) {
        const answer = await uploadFile(server, bytes, {
          fileName: path.slice(path.lastIndexOf('/') + 1),
          folder: path.slice(0, path.lastIndexOf('/')),
          useUniqueFileName: 'false',
          tags,
        })
        if (answer.status === 200) fileIds.set(path, answer.json().fileId)
        return answer
      },
    }
  }
  const idOf = async (server: Server, path: string): Promise<string> => {
    const known = fileIds.get(path)
    if (known !== undefined) return known
    for (const file of await listFiles(server)) fileIds.set(file.filePath, file.fileId)
    return fileIds.get(path) ?? 'unknown'
  }

  const makeUpload = (kind: Kind, size?: number, isPicture?: boolean) => {
    const { bytes, extension } = makeBody(size, isPicture)
    return upload(kind, freshPath(extension), bytes, undefined)
  }
  const KINDS: Record<Kind, { weight: number; make(): Operation }> = {
    upload: { weight: 5, make: () => makeUpload('upload') },
    'small upload': { weight: 0, make: () => makeUpload('small upload', 400) },
    'picture upload': { weight: 0, make: () => makeUpload('picture upload', 400, true) },
    'streamed upload': { weight: 0, make: () => makeUpload('streamed upload', 3_200_000) },
    'new version': {
      weight: 3,
      make() {
        const [path, before] = pick([...world])
        return upload('new version', path, makeBody(pick(SIZES), path.endsWith('.png')).bytes, before)
      },
    },
    delete: {
      weight: 3,
      make() {
        const path = pick([...world.keys()])
        return {
          kind: 'delete',
          paths: [path],
          after: withFile(path, undefined),
          send: async (server) => call(server, 'DELETE', `/v1/files/${await idOf(server, path)}`),
        }
      },
    },
    copy: {
      weight: 2,
      make() {
        const [path, state] = pick([...world])
        const folder = `${root}/copies${made++}`
        const target = `${folder}/${path.slice(path.lastIndexOf('/') + 1)}`
        return {
          kind: 'copy',
          paths: [path, target],
          after: withFile(target, { ...state, version: 1 }),
          send: (server) =>
            call(server, 'POST', '/v1/files/copy', { sourceFilePath: path, destinationPath: folder }),
        }
      },
    },
    move: {
      weight: 2,
      make() {
        const [path, state] = pick([...world])
        const folder = `${root}/moved${made++}`
        const target = `${folder}/${path.slice(path.lastIndexOf('/') + 1)}`
        return {
          kind: 'move',
          paths: [path, target],
          after: withFile(target, state, withFile(path, undefined)),
          send: (server) =>
            call(server, 'POST', '/v1/files/move', { sourceFilePath: path, destinationPath: folder }),
        }
      },
    },
    'folder rename': {
      weight: 1,
      make() {
        const path = pick([...world.keys()])
        const folder = path.slice(0, path.lastIndexOf('/'))
        const name = `renamed${made++}`
        const target = `${root}/${name}`
        const after = new Map<string, FileState>()
        for (const [each, state] of world) {
          after.set(each.startsWith(`${folder}/`) ? target + each.slice(folder.length) : each, state)
        }
        return {
          kind: 'folder rename',
          paths: [...after.keys()].filter((each) => each.startsWith(`${target}/`)),
          after,
          async send(server) {
            const answer = await call(server, 'POST', '/v1/bulkJobs/renameFolder', {
              folderPath: folder,
              newFolderName: name,
            })
            return answer.status === 202 ? finished(server, answer.json().jobId) : answer
          },
        }
      },
    },
    tags: {
      weight: 2,
      make() {
        const [path, state] = pick([...world])
        const tags = `tag${made++}`
        return {
          kind: 'tags',
          paths: [path],
          after: withFile(path, { ...state, tags }),
          send: async (server) =>
            call(server, 'PATCH', `/v1/files/${await idOf(server, path)}/details`, { tags: [tags] }),
        }
      },
    },
    render: {
      weight: 3,
      make() {
        const path = pick([...world.keys()].filter((each) => each.endsWith('.png')))
        return {
          kind: 'render',
          paths: [],
          after: world,
          send: (server) => send(server, `/${server.id}/tr:w-${1 + (made++ % 400)}${path}`),
        }
      },
    },
    download: {
      weight: 1,
      make() {
        const [path, state] = pick([...world])
        return {
          kind: 'download',
          paths: [],
          after: world,
          async send(server) {
            const answer = await send(server, `/${server.id}${path}`)
            if (answer.status === 200 && sha256(answer.body) !== state.sha256) {
              refused.push(`${path} gave other bytes with 200`)
            }
            return answer
          },
        }
      },
    },
  }

  /** Waits for the end of a folder job. */
  async function finished(server: Server, jobId: string): Promise<Answer> {
    for (;;) {
      const answer = await call(server, 'GET', `/v1/bulkJobs/${jobId}`)
      if (answer.status >= 300 || answer.json().status === 'Completed') return answer
      if (answer.json().status === 'Failed') return { ...answer, status: 500 }
      await sleep(15)
    }
  }

  function choose(): Operation {
    if (world.size === 0) return KINDS.upload.make()
    if (world.size >= MOST_FILES) return KINDS.delete.make()
    const hasPicture = [...world.keys()].some((each) => each.endsWith('.png'))
    const kinds = Object.values(KINDS).filter((kind) => hasPicture || kind !== KINDS.render)
    let left = random() * kinds.reduce((sum, { weight }) => sum + weight, 0)
    for (const kind of kinds) {
      left -= kind.weight
      if (left < 0) return kind.make()
    }
    return KINDS.upload.make()
  }

  function count(outcome: string) {
    options.counts[outcome] = (options.counts[outcome] ?? 0) + 1
  }

  function settle(next: World, { paths }: Operation) {
    if (next !== world) for (const path of fileIds.keys()) if (!next.has(path)) fileIds.delete(path)
    for (const path of paths) touched.add(path)
    world = next
    pending = undefined
  }

  return {
    get size() {
      return world.size
    },
    get pictures() {
      return [...world.keys()].filter((each) => each.endsWith('.png')).length
    },
    async step(server, kind) {
      // Until a check has told what became of the last one, nothing is known that another could be judged by.
      if (pending) {
        await sleep(5)
        return false
      }
      const operation = kind ? KINDS[kind].make() : choose()
      pending = operation
      let answer: Answer
      try {
        answer = await operation.send(server)
      } catch {
        count(`${operation.kind}: no answer`)
        return false
      }
      count(`${operation.kind}: ${answer.status < 300 ? 'acknowledged' : answer.status}`)
      if (answer.status < 300) settle(operation.after, operation)
      else if (answer.status < 500) {
        refused.push(`${operation.kind} ${operation.paths}: ${answer.status} ${answer.body}`)
        pending = undefined
      } else {
        const problem = faultOfError(answer)
        if (problem) refused.push(`${operation.kind}: ${problem}`)
      }
      return answer.status < 300
    },
    async check(server, { everyByte }) {
      const listed = (await listFiles(server)).filter((file) => file.filePath.startsWith(`${root}/`))
      const found = describe(
        listed.map((file) => [
          file.filePath,
          {
            sizeBytes: file.size,
            tags: (file.tags ?? []).join(),
            version: Number(file.versionInfo.name.replace('Version ', '')),
          },
        ]),
      )
      if (pending) {
        const happened = found === describe([...pending.after])
        if (pending.after !== world)
          count(`${pending.kind}: ${happened ? 'had happened' : 'had not happened'}`)
        settle(happened ? pending.after : world, pending)
        for (const file of listed) fileIds.set(file.filePath, file.fileId)
      }
      const expected = describe([...world])
      if (found !== expected) {
        throw new Error(`${options.name} lists\n${found}\ninstead of\n${expected}`)
      }
      for (const [path, state] of world) {
        if (!everyByte && !touched.has(path)) continue
        const answer = await send(server, `/${server.id}${path}`)
        if (answer.status !== 200 || sha256(answer.body) !== state.sha256) {
          throw new Error(
            `${path} gives ${answer.status} and ${answer.body.length} bytes, not those of its upload`,
          )
        }
      }
      touched.clear()
    },
  }
}

/** What is wrong with the form of an error; undefined when it says clearly what happened. */
export function faultOfError(answer: Answer): string | undefined {
  if (![500, 503, 507].includes(answer.status)) return `answered ${answer.status}: ${answer.body}`
  // Delivery says it in a header: whoever asks for a picture reads no JSON.
  if (answer.headers['ik-error'] !== undefined) return undefined
  try {
    const { message, help } = answer.json()
    if (typeof message === 'string' && typeof help === 'string') return undefined
  } catch {}
  return `answered ${answer.status} without message and help: ${answer.body}`
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

type Listed = {
  filePath: string
  fileId: string
  size: number
  tags: string[] | null
  versionInfo: { name: string }
}

/** All files of the library. */
export async function listFiles(server: Server): Promise<Listed[]> {
  const files: Listed[] = []
  for (let skip = 0; ; skip += 1000) {
    const answer = await send(server, `/v1/files?limit=1000&skip=${skip}`, {
      headers: { authorization: basic(server.privateKey) },
    })
    if (answer.status !== 200) throw new Error(`the list answers ${answer.status}: ${answer.body}`)
    const page: Listed[] = answer.json()
    files.push(...page)
    if (page.length < 1000) return files
  }
}

function describe(files: [string, Omit<FileState, 'sha256'>][]): string {
  return files
    .map(([path, { sizeBytes, tags, version }]) => `${path} ${sizeBytes} bytes, v${version}, ${tags}`)
    .sort()
    .join('\n')
}
