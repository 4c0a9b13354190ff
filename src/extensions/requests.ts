import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { badRequest, type TintypeError } from '../kernel/errors.ts'

/**
 * What clients may ask for in `extensions` (OpenAPI `Extensions`), and the checks of it. Unknown members are dropped,
 * since the contract's own example has one (`bg_colour`).
 */

/** The extensions that do work; a `saved-extension` only points at one of them. */
export const EXTENSION_NAMES = [
  'google-auto-tagging',
  'aws-auto-tagging',
  'remove-bg',
  'ai-auto-description',
  'ai-tasks',
] as const
export type ExtensionName = (typeof EXTENSION_NAMES)[number]

/** How much of `extensions` is read at all. */
const MAX_REQUESTS = 20
const MAX_DEPTH = 8
const MAX_TEXT_BYTES = 256 * 1024

const MAX_INSTRUCTION = 2000
const MAX_VOCABULARY = 30
/** Characters of all values of a vocabulary together, and of the tags of an action (OpenAPI). */
const MAX_VOCABULARY_LENGTH = 500
const MAX_FIELD_LENGTH = 250
const MAX_ACTION_ITEMS = 100

const instruction = Type.String({ minLength: 1, maxLength: MAX_INSTRUCTION })
const fieldName = Type.String({ minLength: 1, maxLength: MAX_FIELD_LENGTH })
const tag = Type.String({ minLength: 1, maxLength: MAX_VOCABULARY_LENGTH })
const scalar = Type.Union([Type.String({ maxLength: MAX_VOCABULARY_LENGTH }), Type.Number(), Type.Boolean()])
const selections = {
  min_selections: Type.Optional(Type.Integer({ minimum: 0 })),
  max_selections: Type.Optional(Type.Integer({ minimum: 1 })),
}

const autoTagging = {
  minConfidence: Type.Number({ minimum: 0, maximum: 100 }),
  maxTags: Type.Integer({ minimum: 0, maximum: 30 }),
}
const googleAutoTagging = Type.Object({ name: Type.Literal('google-auto-tagging'), ...autoTagging })
const awsAutoTagging = Type.Object({ name: Type.Literal('aws-auto-tagging'), ...autoTagging })

const removeBg = Type.Object({
  name: Type.Literal('remove-bg'),
  options: Type.Optional(
    Type.Object({
      add_shadow: Type.Optional(Type.Boolean()),
      semitransparency: Type.Optional(Type.Boolean()),
      bg_color: Type.Optional(Type.String({ maxLength: 64 })),
      bg_image_url: Type.Optional(Type.String({ maxLength: 2048 })),
    }),
  ),
})

const autoDescription = Type.Object({ name: Type.Literal('ai-auto-description') })

const selectTags = Type.Object({
  type: Type.Literal('select_tags'),
  instruction,
  vocabulary: Type.Optional(Type.Array(tag, { minItems: 1, maxItems: MAX_VOCABULARY })),
  ...selections,
})
const selectMetadata = Type.Object({
  type: Type.Literal('select_metadata'),
  instruction,
  field: fieldName,
  vocabulary: Type.Optional(Type.Array(scalar, { minItems: 1, maxItems: MAX_VOCABULARY })),
  ...selections,
})
const action = Type.Object({
  add_tags: Type.Optional(Type.Array(tag, { maxItems: MAX_ACTION_ITEMS })),
  remove_tags: Type.Optional(Type.Array(tag, { maxItems: MAX_ACTION_ITEMS })),
  set_metadata: Type.Optional(
    Type.Array(
      Type.Object({
        field: fieldName,
        value: Type.Union([
          Type.String({ maxLength: 5000 }),
          Type.Number(),
          Type.Boolean(),
          Type.Array(scalar, { maxItems: MAX_ACTION_ITEMS }),
        ]),
      }),
      { maxItems: MAX_ACTION_ITEMS },
    ),
  ),
  unset_metadata: Type.Optional(
    Type.Array(Type.Object({ field: fieldName }), { maxItems: MAX_ACTION_ITEMS }),
  ),
})
const yesNo = Type.Object({
  type: Type.Literal('yes_no'),
  instruction,
  on_yes: Type.Optional(action),
  on_no: Type.Optional(action),
  on_unknown: Type.Optional(action),
})

const aiTasks = Type.Object({
  name: Type.Literal('ai-tasks'),
  tasks: Type.Array(Type.Union([selectTags, selectMetadata, yesNo]), { minItems: 1, maxItems: 10 }),
})

const savedExtension = Type.Object({
  name: Type.Literal('saved-extension'),
  id: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
})

/** What a saved extension holds, and what an item of `extensions` is. */
export const extensionConfigSchema = Type.Union([
  googleAutoTagging,
  awsAutoTagging,
  removeBg,
  autoDescription,
  aiTasks,
])
export const extensionRequestSchema = Type.Union([...extensionConfigSchema.anyOf, savedExtension])

export type AutoTaggingRequest = Static<typeof googleAutoTagging> | Static<typeof awsAutoTagging>
export type RemoveBgRequest = Static<typeof removeBg>
export type AutoDescriptionRequest = Static<typeof autoDescription>
export type AiTasksRequest = Static<typeof aiTasks>
export type AiTask = AiTasksRequest['tasks'][number]
export type AiTaskAction = Static<typeof action>
/** An extension with its own parameters: what a saved extension holds and what a provider runs. */
export type ExtensionConfig = AutoTaggingRequest | RemoveBgRequest | AutoDescriptionRequest | AiTasksRequest
export type SavedExtensionReference = Static<typeof savedExtension>
export type ExtensionRequest = ExtensionConfig | SavedExtensionReference

const SCHEMAS: Record<ExtensionRequest['name'], TSchema> = {
  'google-auto-tagging': googleAutoTagging,
  'aws-auto-tagging': awsAutoTagging,
  'remove-bg': removeBg,
  'ai-auto-description': autoDescription,
  'ai-tasks': aiTasks,
  'saved-extension': savedExtension,
}
const TASK_SCHEMAS: Record<AiTask['type'], TSchema> = {
  select_tags: selectTags,
  select_metadata: selectMetadata,
  yes_no: yesNo,
}

/**
 * Reads the `extensions` parameter.
 * @param input JSON text (uploads) or the value that it stands for (updates).
 * @returns the requests in their order, with unknown members dropped.
 * @throws TintypeError bad-request, with a message that names the place and the rule.
 */
export function parseExtensions(input: unknown): ExtensionRequest[] {
  const value = typeof input === 'string' ? parseJson(input) : input
  if (!Array.isArray(value)) throw invalid('It should be an array of objects.')
  if (value.length > MAX_REQUESTS) throw invalid(`It should have at most ${MAX_REQUESTS} items.`)
  if (isDeeperThan(value, MAX_DEPTH)) throw invalid('It is nested too deeply.')
  const requests = value.map((item: unknown, at) => {
    const checked = checkRequest(item, `extensions[${at}]`)
    if ('problem' in checked) throw invalid(checked.problem)
    return checked.request
  })
  refuseRepeated(requests)
  return requests
}

/**
 * Reads the `config` of a saved extension, which is a base extension and never a reference to another one.
 * @throws TintypeError bad-request `Invalid extension configuration.` with an `errors` object.
 */
export function parseExtensionConfig(value: unknown): ExtensionConfig {
  const checked = isDeeperThan(value, MAX_DEPTH)
    ? { problem: 'config is nested too deeply.' }
    : checkRequest(value, 'config')
  const problem =
    'problem' in checked
      ? checked.problem
      : checked.request.name === 'saved-extension'
        ? 'config.name should not be saved-extension.'
        : undefined
  if (problem !== undefined) {
    throw badRequest('Invalid extension configuration.', { extra: { errors: { config: problem } } })
  }
  return (checked as { request: ExtensionConfig }).request
}

/**
 * Puts the configurations of saved extensions in the place of the references to them.
 * @param lookup the configuration of a saved extension, undefined when there is none with that id.
 * @throws TintypeError bad-request for an unknown id, or an extension that then occurs twice.
 */
export async function resolveExtensions(
  requests: ExtensionRequest[],
  lookup: (id: string) => Promise<ExtensionConfig | undefined>,
): Promise<ExtensionConfig[]> {
  const resolved: ExtensionConfig[] = []
  for (const request of requests) {
    if (request.name !== 'saved-extension') resolved.push(request)
    else {
      const config = await lookup(request.id)
      if (config === undefined) throw badRequest('The requested saved extension does not exist.')
      resolved.push(config)
    }
  }
  refuseRepeated(resolved)
  return resolved
}

/** `ai-tasks` may occur several times (saved ones beside own ones); the others would be paid for twice for one result. */
function refuseRepeated(requests: ExtensionRequest[]) {
  const seen = new Set<string>()
  for (const { name } of requests) {
    if (name === 'ai-tasks' || name === 'saved-extension') continue
    if (seen.has(name)) throw invalid(`${name} is there more than once.`)
    seen.add(name)
  }
}

type Checked = { request: ExtensionRequest } | { problem: string }

function checkRequest(item: unknown, at: string): Checked {
  if (!isObject(item)) return { problem: `${at} should be an object.` }
  const { name } = item
  if (typeof name !== 'string' || !Object.hasOwn(SCHEMAS, name)) {
    return { problem: `${at}.name should be one of ${Object.keys(SCHEMAS).join(', ')}.` }
  }
  // Tasks are a union too; checking them one by one names the wrong member instead of all the kinds there are.
  if (name === 'ai-tasks' && Array.isArray(item.tasks)) {
    for (const [index, task] of item.tasks.slice(0, 10).entries()) {
      const problem = checkTask(task, `${at}.tasks[${index}]`)
      if (problem !== undefined) return { problem }
    }
  }
  const problem = firstProblem(SCHEMAS[name as ExtensionRequest['name']], item, at)
  if (problem !== undefined) return { problem }
  const request = Value.Clean(
    SCHEMAS[name as ExtensionRequest['name']],
    structuredClone(item),
  ) as ExtensionRequest
  const ruleProblem = request.name === 'remove-bg' ? checkRemoveBg(request, at) : undefined
  return ruleProblem === undefined ? { request } : { problem: ruleProblem }
}

function checkTask(task: unknown, at: string): string | undefined {
  if (!isObject(task)) return `${at} should be an object.`
  const { type } = task
  if (typeof type !== 'string' || !Object.hasOwn(TASK_SCHEMAS, type)) {
    return `${at}.type should be one of ${Object.keys(TASK_SCHEMAS).join(', ')}.`
  }
  const schema = TASK_SCHEMAS[type as AiTask['type']]
  const problem = firstProblem(schema, task, at)
  if (problem !== undefined) return problem
  const checked = task as AiTask
  if (checked.type === 'yes_no') return checkActions(checked, at)
  const { vocabulary, min_selections: min = 0, max_selections: max } = checked
  if (max !== undefined && min > max) return `${at}.min_selections should not exceed max_selections.`
  if (vocabulary === undefined) return undefined
  if (min > vocabulary.length) return `${at}.min_selections should not exceed the size of the vocabulary.`
  return checked.type === 'select_tags' ? checkTags(vocabulary as string[], `${at}.vocabulary`) : undefined
}

function checkActions(task: Static<typeof yesNo>, at: string): string | undefined {
  for (const branch of ['on_yes', 'on_no', 'on_unknown'] as const) {
    for (const list of ['add_tags', 'remove_tags'] as const) {
      const problem = checkTags(task[branch]?.[list] ?? [], `${at}.${branch}.${list}`)
      if (problem !== undefined) return problem
    }
  }
  return undefined
}

function checkTags(tags: string[], at: string): string | undefined {
  if (tags.some((value) => value.includes('%'))) return `${at} should not contain the character %.`
  const length = tags.reduce((sum, value) => sum + value.length, 0)
  return length > MAX_VOCABULARY_LENGTH
    ? `${at} should have at most ${MAX_VOCABULARY_LENGTH} characters in all.`
    : undefined
}

function checkRemoveBg({ options = {} }: RemoveBgRequest, at: string): string | undefined {
  const { bg_color: color = '', bg_image_url: imageUrl = '' } = options
  if (color !== '' && imageUrl !== '') {
    return `${at}.options should have only one of bg_color and bg_image_url.`
  }
  if (color !== '' && !/^(#?[0-9a-f]{3,8}|[a-z]{3,32})$/i.test(color)) {
    return `${at}.options.bg_color should be a hex code or the name of a color.`
  }
  if (imageUrl !== '') {
    const url = URL.parse(imageUrl)
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
      return `${at}.options.bg_image_url should be an http or https URL.`
    }
  }
  return undefined
}

function firstProblem(schema: TSchema, value: unknown, at: string): string | undefined {
  const error = Value.Errors(schema, value)[0]
  if (!error) return undefined
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
    .join('')
  return `${at}${path} ${error.message}.`
}

function parseJson(text: string): unknown {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) throw invalid('It is too long.')
  try {
    return JSON.parse(text)
  } catch {
    throw invalid('It should be valid JSON.')
  }
}

/** Level by level, so that deep nesting costs no stack. */
function isDeeperThan(value: unknown, maxDepth: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null ? (Object.values(item) as unknown[]) : [],
    )
    if (depth >= maxDepth && level.length > 0) return true
  }
  return false
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(detail: string): TintypeError {
  return badRequest(`Your request contains invalid extensions parameter. ${detail}`)
}
