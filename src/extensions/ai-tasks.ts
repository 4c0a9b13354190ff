import { badRequest } from '../kernel/errors.ts'
import { invalidAnswer } from './failures.ts'
import type { AssetChanges, MetadataField, MetadataValue } from './provider.ts'
import type { AiTask, AiTaskAction, ExtensionConfig } from './requests.ts'
import { cleanText } from './tags.ts'

/**
 * `ai-tasks` without the AI: which questions the tasks come down to, and what the answers change. A model only ever
 * answers; what follows from an answer is in the request, so a picture with writing in it cannot talk the model into
 * changing anything that the client did not list.
 */

export type Scalar = string | number | boolean

/** What a model is asked. */
export type Question =
  | {
      kind: 'select'
      instruction: string
      /** The only answers there are; absent when any will do. */
      vocabulary?: Scalar[]
      /** What an answer has to be when there is no vocabulary. */
      valueType: 'text' | 'number' | 'boolean' | 'date'
      minSelections: number
      maxSelections: number
    }
  | { kind: 'yes-no'; instruction: string }

/** What a model said; not yet believed. */
export type Answer = { selections?: unknown; answer?: unknown }

const MAX_FREE_SELECTIONS = 30
const MAX_FREE_TAG_LENGTH = 100
const MAX_FREE_VALUE_LENGTH = 5000
/** Characters of all tags of a task together, as for a vocabulary. */
const MAX_TAGS_LENGTH = 500

/**
 * Checks that tasks name custom metadata fields that exist, with values of their types.
 * @throws TintypeError bad-request that names the field.
 */
export function checkTaskFields(requests: ExtensionConfig[], fields: MetadataField[]): void {
  for (const request of requests) {
    if (request.name !== 'ai-tasks') continue
    for (const task of request.tasks) {
      if (task.type === 'select_metadata') {
        const field = findField(task.field, fields)
        for (const value of task.vocabulary ?? []) checkValue(value, field)
      }
      if (task.type !== 'yes_no') continue
      for (const action of [task.on_yes, task.on_no, task.on_unknown]) {
        for (const { field, value } of action?.set_metadata ?? []) {
          const target = findField(field, fields)
          if (target.type === 'MultiSelect' && !Array.isArray(value)) throw wrongValue(field)
          if (target.type !== 'MultiSelect' && Array.isArray(value)) throw wrongValue(field)
          for (const item of Array.isArray(value) ? value : [value]) checkValue(item, target)
        }
        for (const { field } of action?.unset_metadata ?? []) findField(field, fields)
      }
    }
  }
}

/**
 * The questions of tasks, one each, in their order.
 * @throws TintypeError bad-request when a field does not exist (any more).
 */
export function planQuestions(tasks: AiTask[], fields: MetadataField[]): Question[] {
  return tasks.map((task): Question => {
    const { instruction } = task
    if (task.type === 'yes_no') return { kind: 'yes-no', instruction }
    const field = task.type === 'select_metadata' ? findField(task.field, fields) : undefined
    const vocabulary = task.vocabulary ?? ownVocabulary(field)
    const most = field && field.type !== 'MultiSelect' ? 1 : (vocabulary?.length ?? MAX_FREE_SELECTIONS)
    const maxSelections = Math.min(task.max_selections ?? most, most)
    return {
      kind: 'select',
      instruction,
      ...(vocabulary && { vocabulary }),
      valueType: valueTypeOf(field),
      minSelections: Math.min(task.min_selections ?? 0, maxSelections),
      maxSelections,
    }
  })
}

/**
 * What the answers change. Selections outside of the vocabulary are dropped, those over the maximum cut; fewer than the
 * minimum stay fewer, since a model that finds nothing fitting is right more often than one that has to.
 * @param service who answered, for the failure.
 * @throws TintypeError internal when an answer is missing or of no use.
 */
export function readChanges(
  tasks: AiTask[],
  questions: Question[],
  answers: Answer[],
  service: string,
  fields: MetadataField[],
): AssetChanges {
  const changes = createChanges()
  if (answers.length !== tasks.length) {
    throw invalidAnswer(service, new Error(`${answers.length} answers to ${tasks.length} questions`))
  }
  for (const [at, task] of tasks.entries()) {
    const question = questions[at]!
    const answer = answers[at]!
    if (task.type === 'yes_no') {
      const action = chooseAction(task, answer.answer)
      if (action === 'invalid') throw invalidAnswer(service, new Error(`answer ${at} is neither yes nor no`))
      if (action) changes.apply(action)
      continue
    }
    if (question.kind !== 'select' || !Array.isArray(answer.selections)) {
      throw invalidAnswer(service, new Error(`answer ${at} has no selections`))
    }
    const selected = readSelections(question, answer.selections)
    if (task.type === 'select_tags') changes.apply({ add_tags: limitTags(selected.map(String)) })
    else if (selected.length > 0) {
      const isList = findField(task.field, fields).type === 'MultiSelect'
      changes.apply({ set_metadata: [{ field: task.field, value: isList ? selected : selected[0]! }] })
    }
  }
  return changes.result()
}

function chooseAction(
  task: Extract<AiTask, { type: 'yes_no' }>,
  answer: unknown,
): AiTaskAction | undefined | 'invalid' {
  switch (answer) {
    case 'yes':
      return task.on_yes
    case 'no':
      return task.on_no
    case 'unknown':
      return task.on_unknown
    default:
      return 'invalid'
  }
}

function readSelections(question: Extract<Question, { kind: 'select' }>, given: unknown[]): Scalar[] {
  const selected = new Set<Scalar>()
  for (const item of given.slice(0, 1000)) {
    const value = question.vocabulary
      ? question.vocabulary.find((candidate) => isSame(candidate, item))
      : readFreeValue(item, question.valueType)
    if (value !== undefined) selected.add(value)
  }
  return [...selected].slice(0, question.maxSelections)
}

/** Models give back `Red` for `red` and `"3"` for `3`. */
function isSame(candidate: Scalar, item: unknown): boolean {
  if (candidate === item) return true
  if (typeof item !== 'string' && typeof item !== 'number' && typeof item !== 'boolean') return false
  return String(candidate).trim().toLowerCase() === String(item).trim().toLowerCase()
}

function readFreeValue(
  item: unknown,
  type: Extract<Question, { kind: 'select' }>['valueType'],
): Scalar | undefined {
  if (type === 'number') return typeof item === 'number' && Number.isFinite(item) ? item : undefined
  if (type === 'boolean') return typeof item === 'boolean' ? item : undefined
  if (typeof item !== 'string') return undefined
  const text = cleanText(item, MAX_FREE_VALUE_LENGTH)
  if (text === '') return undefined
  if (type === 'date') return Number.isNaN(Date.parse(text)) ? undefined : text
  return text
}

/** Without a vocabulary, tags are whatever a model came up with: held to the limits of tags. */
function limitTags(tags: string[]): string[] {
  const kept: string[] = []
  let length = 0
  for (const tag of tags) {
    length += tag.length
    if (tag.length <= MAX_FREE_TAG_LENGTH && !tag.includes('%') && length <= MAX_TAGS_LENGTH) kept.push(tag)
  }
  return kept
}

function createChanges() {
  const addTags = new Set<string>()
  const removeTags = new Set<string>()
  // No prototype, so that a field may have any name.
  const setMetadata = Object.create(null) as Record<string, MetadataValue>
  const unsetMetadata = new Set<string>()
  return {
    apply(action: AiTaskAction) {
      for (const tag of action.add_tags ?? []) {
        addTags.add(tag)
        removeTags.delete(tag)
      }
      for (const tag of action.remove_tags ?? []) {
        removeTags.add(tag)
        addTags.delete(tag)
      }
      for (const { field, value } of action.set_metadata ?? []) {
        setMetadata[field] = value
        unsetMetadata.delete(field)
      }
      for (const { field } of action.unset_metadata ?? []) {
        unsetMetadata.add(field)
        delete setMetadata[field]
      }
    },
    result: (): AssetChanges => ({
      addTags: [...addTags],
      removeTags: [...removeTags],
      setMetadata,
      unsetMetadata: [...unsetMetadata],
    }),
  }
}

function ownVocabulary(field: MetadataField | undefined): Scalar[] | undefined {
  if (field?.type === 'Boolean') return [true, false]
  return field?.type === 'SingleSelect' || field?.type === 'MultiSelect' ? field.selectOptions : undefined
}

function valueTypeOf(field: MetadataField | undefined): Extract<Question, { kind: 'select' }>['valueType'] {
  switch (field?.type) {
    case 'Number':
      return 'number'
    case 'Boolean':
      return 'boolean'
    case 'Date':
      return 'date'
    default:
      return 'text'
  }
}

function findField(name: string, fields: MetadataField[]): MetadataField {
  const field = fields.find((candidate) => candidate.name === name)
  if (field) return field
  throw badRequest(
    `Your request contains invalid extensions parameter. The custom metadata field ${name} does not exist.`,
  )
}

function checkValue(value: Scalar, field: MetadataField) {
  const fits =
    field.type === 'SingleSelect' || field.type === 'MultiSelect'
      ? (field.selectOptions ?? []).includes(value)
      : field.type === 'Number'
        ? typeof value === 'number'
        : field.type === 'Boolean'
          ? typeof value === 'boolean'
          : typeof value === 'string' && (field.type !== 'Date' || !Number.isNaN(Date.parse(value)))
  if (!fits) throw wrongValue(field.name)
}

function wrongValue(name: string) {
  return badRequest(
    `Your request contains invalid extensions parameter. A value for the custom metadata field ${name} does not fit its type.`,
  )
}
