import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TintypeError } from '../../src/kernel/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { blobOf, type FolderNode, ORIGIN, readTree, startFolderNode, type Tree } from './folders-rig.ts'
import { engines, type Place } from './places.ts'

/** The short form runs with all tests; FOLDER_RUNS asks for more. */
const RUNS = Number(process.env.FOLDER_RUNS ?? 10)
const SEED = Number(process.env.FOLDER_SEED ?? 1)
const MAX_VERSIONS = 4

/** What a request of folders should do, on plain objects. */
type Model = { tree: Tree; seed: number }

const isBelow = (path: string, above: string) => path.startsWith(`${above}/`)
const isWithin = (path: string, above: string) => path === above || isBelow(path, above)
const childOf = (parent: string, name: string) => `${parent === '/' ? '' : parent}/${name}`

function ensure(tree: Tree, path: string) {
  for (let at = path; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/'))) tree[at] ??= {}
}

/** Which reason or kind of error a transfer ends with, if any. */
function refusal(tree: Tree, source: string, destination: string, mode: 'move' | 'copy' | 'copy-all') {
  const target = childOf(destination, source.slice(source.lastIndexOf('/') + 1))
  if (destination === source || target === source) return 'SAME_SOURCE_AND_DESTINATION'
  if (isBelow(destination, source) || isBelow(source, target)) {
    return mode === 'move' ? 'INVALID_DESTINATION_PATH' : 'INVALID_FOLDER_PATH'
  }
  if (!tree[source]) return 'NO_FILES_FOLDER'
  for (const [path, files] of Object.entries(tree)) {
    if (!isWithin(path, source)) continue
    const there = tree[target + path.slice(source.length)]
    for (const [name, versions] of Object.entries(files)) {
      const added = mode === 'copy' ? 1 : versions.length
      if (there?.[name] && there[name].length + added > MAX_VERSIONS) return 'VERSION_LIMIT_EXCEEDED'
    }
  }
  return undefined
}

function transfer(tree: Tree, source: string, target: string, mode: 'move' | 'copy' | 'copy-all') {
  ensure(tree, target)
  for (const [path, files] of Object.entries(tree)) {
    if (!isWithin(path, source)) continue
    const to = target + path.slice(source.length)
    tree[to] ??= {}
    for (const [name, versions] of Object.entries(files)) {
      tree[to][name] = [...(tree[to][name] ?? []), ...(mode === 'copy' ? versions.slice(-1) : versions)]
    }
  }
  if (mode === 'move') remove(tree, source)
}

function remove(tree: Tree, path: string) {
  for (const each of Object.keys(tree)) if (isWithin(each, path)) delete tree[each]
}

type Command = fc.AsyncCommand<Model, FolderNode>

/** What a command does, once it is known which folders it is about. */
type Action = {
  /** Reason or kind of the error that it ends with; undefined when it succeeds. */
  error?: string | undefined
  change(): void
  /** Gives the id of the job that does it, if one does. */
  request(node: FolderNode): Promise<string | undefined>
}

function command(text: string, plan: (model: Model) => Action): Command {
  return {
    check: () => true,
    toString: () => text,
    async run(model, node) {
      const { error, change, request } = plan(model)
      if (error === undefined) {
        const jobId = await request(node)
        if (jobId !== undefined) await node.finish(jobId)
        change()
      } else {
        const thrown = await request(node).then(
          () => 'no error',
          (reason: unknown) =>
            reason instanceof TintypeError ? (reason.reason ?? reason.kind) : String(reason),
        )
        expect(thrown).toBe(error)
      }
      expect(await readTree(node.store)).toStrictEqual(model.tree)
    },
  }
}

/** A path: mostly of a folder that is there, told by its rank, else any; of the root only where it may be. */
type Choice = { rank: number | undefined; names: string[] }
const choice = fc.record({
  rank: fc.option(fc.nat(1000), { freq: 8, nil: undefined }),
  names: fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 }),
})
function pathOf({ rank, names }: Choice, { tree }: Model, mayBeRoot: boolean): string {
  const there = Object.keys(tree).filter((path) => mayBeRoot || path !== '/')
  return rank === undefined || there.length === 0 ? `/${names.join('/')}` : there[rank % there.length]!
}
const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)
const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/')) || '/'

const folderName = fc.constantFrom('a', 'b')
const fileName = fc.constantFrom('x.jpg', 'y.jpg')
const mode = fc.constantFrom('move' as const, 'move' as const, 'copy' as const, 'copy-all' as const)

const create = fc.tuple(choice, folderName).map(([at, name]) =>
  command(`create ${name} in ${JSON.stringify(at)}`, (model) => {
    const parent = pathOf(at, model, true)
    return {
      change: () => ensure(model.tree, childOf(parent, name)),
      async request(node) {
        await node.folders.create({ folderName: name, parentFolderPath: parent })
        return undefined
      },
    }
  }),
)
const put = fc.tuple(choice, fileName).map(([at, name]) =>
  command(`put ${name} into ${JSON.stringify(at)}`, (model) => {
    const folder = pathOf(at, model, true)
    model.seed += 1
    const { seed } = model
    return {
      change() {
        ensure(model.tree, folder)
        const files = model.tree[folder]!
        files[name] = [...(files[name] ?? []), seed]
      },
      async request(node) {
        await node.put(folder, name, seed)
        return undefined
      },
    }
  }),
)
const transferred = fc.tuple(choice, choice, mode).map(([from, to, how]) =>
  command(`${how} ${JSON.stringify(from)} into ${JSON.stringify(to)}`, (model) => {
    const sourceFolderPath = pathOf(from, model, false)
    const destinationPath = pathOf(to, model, true)
    const params = { sourceFolderPath, destinationPath }
    return {
      error: refusal(model.tree, sourceFolderPath, destinationPath, how),
      change: () =>
        transfer(model.tree, sourceFolderPath, childOf(destinationPath, nameOf(sourceFolderPath)), how),
      request: (node) =>
        how === 'move'
          ? node.folders.move(params, ORIGIN)
          : node.folders.copy({ ...params, includeVersions: how === 'copy-all' }, ORIGIN),
    }
  }),
)
const renamed = fc.tuple(choice, folderName).map(([at, name]) =>
  command(`rename ${JSON.stringify(at)} to ${name}`, (model) => {
    const source = pathOf(at, model, false)
    const target = childOf(parentOf(source), name)
    return {
      error: !model.tree[source] ? 'not-found' : model.tree[target] ? 'conflict' : undefined,
      change: () => transfer(model.tree, source, target, 'move'),
      request: (node) =>
        node.folders.rename({ folderPath: source, newFolderName: name, purgeCache: false }, ORIGIN),
    }
  }),
)
const deleted = choice.map((at) =>
  command(`delete ${JSON.stringify(at)}`, (model) => {
    const folder = pathOf(at, model, false)
    return {
      error: model.tree[folder] ? undefined : 'FOLDER_NOT_FOUND',
      change: () => remove(model.tree, folder),
      async request(node) {
        await node.folders.remove(folder)
        return undefined
      },
    }
  }),
)
// Twice: there has to be something to move before it is moved.
const commands = [put, put, put, create, create, transferred, transferred, renamed, deleted]

for (const { name, skip, createPlace } of engines) {
  describe.skipIf(skip)(`folders in ${name}`, () => {
    let place: Place
    beforeAll(async () => {
      place = await createPlace()
    })
    afterAll(() => place?.remove())

    const withStores = async (count: number, work: (stores: Store[]) => Promise<void>) => {
      const stores = await Promise.all(Array.from({ length: count }, () => place.open()))
      try {
        await work(stores)
      } finally {
        await Promise.all(stores.map((store) => store.close()))
      }
    }
    const empty = async (node: FolderNode) => {
      for (const path of Object.keys(await readTree(node.store))) {
        if (/^\/[^/]+$/.test(path)) await node.folders.remove(path)
      }
      const { assets } = await node.store.files.search({
        type: 'file',
        sort: { key: 'NAME', descending: false },
        limit: 1000,
        skip: 0,
      })
      await node.store.files.remove(
        assets.flatMap((each) => (each.type === 'folder' ? [] : [each.file.fileId])),
      )
    }

    it(
      `do what a model of them does, ${RUNS} random sequences (seed ${SEED})`,
      { timeout: 60_000 + RUNS * 20_000 },
      () =>
        withStores(1, async ([store]) => {
          const node = startFolderNode(store!, { maxVersions: MAX_VERSIONS })
          try {
            await fc.assert(
              fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (sequence) => {
                await empty(node)
                await fc.asyncModelRun(
                  () => ({ model: { tree: { '/': {} }, seed: 0 }, real: node }),
                  sequence,
                )
              }),
              { numRuns: RUNS, seed: SEED, endOnFailure: true },
            )
          } finally {
            await node.stop()
          }
        }),
    )

    it('take uploads that make new folders in one that is moved to and fro', () =>
      withStores(2, async (stores) => {
        const nodes = stores.map((store) => startFolderNode(store))
        await empty(nodes[0]!)
        await nodes[0]!.folders.create({ folderName: 'x', parentFolderPath: '/p' })
        const uploaded: string[] = []
        let seed = 0
        let isOver = false
        const upload = async (node: FolderNode) => {
          while (!isOver) {
            seed += 1
            const own = seed
            try {
              await node.put(`/${own % 2 ? 'p' : 'q'}/x/${own % 40}/deep`, `${own}.jpg`, own)
              uploaded.push(blobOf(own))
            } catch (error) {
              expect(error).toMatchObject({ kind: 'locked' })
              await new Promise((resolve) => setTimeout(resolve, 1))
            }
          }
        }
        const move = async (node: FolderNode) => {
          for (let n = 0; n < 40; n += 1) {
            const [from, to] = n % 2 ? ['/q', '/p'] : ['/p', '/q']
            await node.finish(
              await node.folders.move({ sourceFolderPath: `${from}/x`, destinationPath: to! }, ORIGIN),
            )
          }
          isOver = true
        }
        try {
          await Promise.all([move(nodes[0]!), ...[0, 1, 0, 1].map((at) => upload(nodes[at]!))])
          const tree = await readTree(stores[0]!)
          const found = Object.values(tree).flatMap((files) => Object.values(files).flat().map(blobOf))
          expect(found.toSorted()).toStrictEqual(uploaded.toSorted())
          expect(uploaded.length).toBeGreaterThan(20)
        } finally {
          isOver = true
          await Promise.all(nodes.map((node) => node.stop()))
        }
      }))

    it(
      `keep every upload, once, while two processes move and rename them (seed ${SEED})`,
      { timeout: 60_000 + RUNS * 5000 },
      () =>
        withStores(2, async (stores) => {
          const nodes = stores.map((store) => startFolderNode(store))
          await empty(nodes[0]!)
          const random = randomFrom(SEED)
          const any = <T>(list: readonly T[]) => list[Math.floor(random() * list.length)]!
          const anyPath = (least: number) =>
            `/${Array.from({ length: least + Math.floor(random() * 2) }, () => any(['a', 'b'])).join('/')}`
          const uploaded: string[] = []
          const refused = new Map<string, number>()
          let seed = 0
          const act = async () => {
            const node = any(nodes)
            const kind = random()
            try {
              if (kind < 0.5) {
                seed += 1
                const own = seed
                await node.put(anyPath(0), any(['x.jpg', 'y.jpg', `${own}.jpg`]), own)
                uploaded.push(blobOf(own))
              } else if (kind < 0.8) {
                await node.finish(
                  await node.folders.move(
                    { sourceFolderPath: anyPath(1), destinationPath: anyPath(0) },
                    ORIGIN,
                  ),
                )
              } else if (kind < 0.9) {
                const rename = {
                  folderPath: anyPath(1),
                  newFolderName: any(['a', 'b']),
                  purgeCache: false,
                }
                await node.finish(await node.folders.rename(rename, ORIGIN))
              } else {
                await node.folders.create({ folderName: any(['a', 'b']), parentFolderPath: anyPath(0) })
              }
            } catch (error) {
              if (!(error instanceof TintypeError)) throw error
              const key = error.reason ?? error.kind
              refused.set(key, (refused.get(key) ?? 0) + 1)
            }
          }
          try {
            for (let round = 0; round < RUNS * 2; round += 1) {
              await Promise.all(Array.from({ length: 12 }, act))
              // No cycle and no lost folder, or reading the tree fails.
              const tree = await readTree(stores[0]!)
              const found = Object.values(tree).flatMap((files) => Object.values(files).flat().map(blobOf))
              expect(found.toSorted()).toStrictEqual(uploaded.toSorted())
            }
            for (const kind of refused.keys()) {
              expect(['locked', 'not-found', 'conflict']).toContain(
                /^(SAME|INVALID|NO_FILES)/.test(kind) ? 'not-found' : kind,
              )
            }
            expect(uploaded.length).toBeGreaterThan(RUNS * 5)
            expect(await stores[0]!.jobs.stats()).toStrictEqual([])
          } finally {
            await Promise.all(nodes.map((node) => node.stop()))
          }
        }),
    )
  })
}

/** Repeatable pseudo-random numbers below 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
