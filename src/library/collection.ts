import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/time.ts'
import type { DocumentKind, Store, StoredDocument } from '../store/store.ts'

/** A list of things that an administrator edits at run time. */
export type Collection = {
  list(): Promise<StoredDocument[]>
  /** @throws TintypeError not-found. */
  get(id: string): Promise<StoredDocument>
  /** @throws TintypeError bad-request, with the contract's message for what is wrong. */
  create(body: unknown): Promise<StoredDocument>
  update(id: string, body: unknown): Promise<StoredDocument>
  remove(id: string): Promise<void>
}

export type CollectionRules = {
  kind: DocumentKind
  newId: () => string
  /** Most members; protects what reads them all. */
  limit: number
  limitMessage: string
  missingMessage: string
  /**
   * Checks a request body and gives what is stored.
   * @param previous what is stored now, when a member is changed.
   */
  parse(
    body: Record<string, unknown>,
    previous: Record<string, unknown> | undefined,
  ): Record<string, unknown> | Promise<Record<string, unknown>>
  /** A name that no other member may have, and the answer when one has. */
  uniqueName?: { of(body: Record<string, unknown>): string; takenMessage: string }
  /** @throws TintypeError when the member must stay. */
  beforeRemove?(document: StoredDocument): void | Promise<void>
}

/** Create, read, update and delete of one kind of documents, by its rules. */
export function createCollection(rules: CollectionRules, deps: { store: Store; clock: Clock }): Collection {
  const { store, clock } = deps
  const { kind } = rules

  async function get(id: string): Promise<StoredDocument> {
    const document = await store.documents.byId(kind, id)
    if (!document) throw notFound(rules.missingMessage)
    return document
  }

  const nameOf = (body: Record<string, unknown>) => rules.uniqueName?.of(body) ?? null
  const refuseTakenName = (error: unknown): never => {
    if (rules.uniqueName && error instanceof TintypeError && error.kind === 'conflict') {
      throw badRequest(rules.uniqueName.takenMessage)
    }
    throw error
  }

  return {
    list: () => store.documents.list(kind),
    get,
    async create(raw) {
      const body = await rules.parse(objectOf(raw), undefined)
      const document = { kind, id: rules.newId(), uniqueName: nameOf(body), body }
      const nowMs = clock.now()
      await store
        .transaction(async (tx) => {
          if ((await tx.documents.list(kind)).length >= rules.limit) throw badRequest(rules.limitMessage)
          await tx.documents.add(document, nowMs)
        })
        .catch(refuseTakenName)
      return { ...document, createdAtMs: nowMs, updatedAtMs: nowMs }
    },
    async update(id, raw) {
      const previous = await get(id)
      const body = await rules.parse(objectOf(raw), previous.body)
      const changed = { ...previous, body, uniqueName: nameOf(body), updatedAtMs: clock.now() }
      await store.documents.change(changed, changed.updatedAtMs).catch(refuseTakenName)
      return changed
    },
    async remove(id) {
      const document = await get(id)
      await rules.beforeRemove?.(document)
      if (!(await store.documents.remove(kind, id))) throw notFound(rules.missingMessage)
    },
  }
}

function objectOf(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('Your request should have a JSON object as its body.')
  }
  return body as Record<string, unknown>
}
