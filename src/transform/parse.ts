import { badRequest } from '../kernel/errors.ts'
import type {
  Chain,
  Comparison,
  IfStep,
  Layer,
  LayerPosition,
  LayerType,
  ParamKey,
  PassStep,
  Property,
} from './ast.ts'
import { findParam } from './catalog.ts'
import { choice, coordinate, decodeBase64Text, libraryPath, offset, parseRatio, quantity } from './codecs.ts'
import { parsePlainNumber } from './expr.ts'
import type { Place } from './params/definition.ts'
import { POSITIONS } from './params/geometry.ts'

/** What one transformation may hold; protects the parser and, through steps and layers, the renderer. */
export type ParseLimits = {
  maxLength: number
  maxSteps: number
  maxParamsPerStep: number
  maxLayers: number
  maxLayerDepth: number
  maxIfDepth: number
}

export const defaultParseLimits: ParseLimits = {
  maxLength: 4096,
  maxSteps: 20,
  maxParamsPerStep: 64,
  maxLayers: 10,
  maxLayerDepth: 3,
  maxIfDepth: 5,
}

export type ParseOptions = {
  /**
   * `url`: as it stands in a request target, where some clients encode the separators too. `plain`: as stored or
   * printed. Values are percent-decoded in both.
   */
  form?: 'url' | 'plain'
  limits?: ParseLimits
}

const MAX_TEXT_LENGTH = 2000
const MAX_BASE64_LENGTH = 2500

/**
 * Parses a transformation string (`w-200,h-200:rt-90`), with or without a leading `tr:`.
 * @throws TintypeError bad-request that names the parameter and its position (characters from the start).
 */
export function parseTransformation(text: string, options: ParseOptions = {}): Chain {
  const limits = options.limits ?? defaultParseLimits
  // Percent-encoding triples a byte; the decoded length is checked below.
  if (text.length > limits.maxLength * 4) throw tooLong(limits)
  let source = options.form === 'url' ? decodeSeparators(text) : text
  if (source.startsWith('tr:')) source = source.slice(3)
  const parser = new Parser(tokenize(source, limits), limits)
  return parser.parseAll()
}

function tooLong(limits: ParseLimits) {
  return badRequest(`Invalid transformation: it is longer than ${limits.maxLength} characters.`)
}

/**
 * Old SDKs encode the whole string, separators included, where new ones encode values only. A text that has
 * encoded separators and no plain one comes from the former and is decoded once more.
 */
function decodeSeparators(text: string): string {
  if (text.includes(',') || text.includes(':') || !/%2c|%3a/i.test(text)) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** One comma- or colon-delimited piece. */
type Item = { text: string; position: number; separator: ',' | ':' | '' }

function tokenize(text: string, limits: ParseLimits): Item[] {
  const items: Item[] = []
  let start = 0
  let decodedLength = 0
  let quoted = false
  for (let i = 0; i <= text.length; i++) {
    const char = text[i]
    if (char === '"' && text.startsWith('pg-name-', start)) quoted = !quoted
    if (char !== undefined && (quoted || (char !== ',' && char !== ':'))) continue
    const item = decodeItem(text.slice(start, i))
    decodedLength += item.length + 1
    if (decodedLength > limits.maxLength + 1) throw tooLong(limits)
    if (item !== '') items.push({ text: item, position: start, separator: (char ?? '') as Item['separator'] })
    else {
      // An empty piece (a doubled or trailing separator) says nothing, but a colon still ends the step.
      const previous = items.at(-1)
      if (previous && char === ':') previous.separator = ':'
    }
    start = i + 1
    quoted = false
  }
  return items
}

/** Percent-decodes; a stray `%` (as in "30% off") stands for itself. */
function decodeItem(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => {
      try {
        return decodeURIComponent(run)
      } catch {
        return run
      }
    })
  }
}

type LayerDraft = {
  input: string | undefined
  encoded: boolean
  position: LayerPosition
  mode: Layer['mode']
}

const layerPositions = {
  lx: offset,
  ly: offset,
  lxc: offset,
  lyc: offset,
  lap: choice(POSITIONS),
  lfo: choice(POSITIONS),
  lso: quantity,
  leo: quantity,
  ldu: quantity,
} as const
const layerMode = choice(['multiply', 'cutter', 'cutout', 'displace'], { displacement: 'displace' })
const LAYER_TYPES: Record<string, LayerType> = {
  image: 'image',
  text: 'text',
  video: 'video',
  subtitles: 'subtitles',
  subtitle: 'subtitles',
}

const LEGACY_OVERLAY =
  /^(oi|ot|ote|obg|ofo|ox|oy|oh|ow|or|oa|ots|otf|otc|ott|otbg|otp|otw|otia|oib|oic|oicm|oidpr|oifo|oih|oiq|oir|oirt|oit|oiw|oiar|oibg)$/

class Parser {
  #index = 0
  #steps = 0
  #layers = 0
  readonly #items: Item[]
  readonly #limits: ParseLimits

  constructor(items: Item[], limits: ParseLimits) {
    this.#items = items
    this.#limits = limits
  }

  parseAll(): Chain {
    const chain = this.#parseChain({
      terminators: [],
      draft: null,
      layerDepth: 0,
      ifDepth: 0,
      place: 'image',
    })
    return chain
  }

  #parseChain(context: {
    terminators: string[]
    draft: LayerDraft | null
    layerDepth: number
    ifDepth: number
    place: Place
  }): Chain {
    const chain: Chain = []
    let step: PassStep | null = null
    let paramCount = 0
    while (this.#index < this.#items.length) {
      const item = this.#items[this.#index]!
      if (context.terminators.includes(item.text)) break
      if (item.text === 'l-end' || item.text === 'if-else' || item.text === 'if-end') {
        throw this.#error(item, `"${item.text}" has no beginning`)
      }
      if (item.text.startsWith('if-')) {
        if (step && (step.layers.length > 0 || Object.keys(step.params).length > 0)) {
          throw this.#error(item, 'a step with a condition cannot hold anything else')
        }
        step = null
        if (context.ifDepth >= this.#limits.maxIfDepth)
          throw this.#error(item, 'conditions are nested too deep')
        this.#countStep(item)
        chain.push(this.#parseIf(item, context))
        continue
      }
      if (!step) {
        this.#countStep(item)
        step = { kind: 'pass', params: {}, layers: [] }
        paramCount = 0
        chain.push(step)
      }
      if (++paramCount > this.#limits.maxParamsPerStep) {
        throw this.#error(item, `a step has more than ${this.#limits.maxParamsPerStep} parameters`)
      }
      if (item.text.startsWith('l-')) {
        step.layers.push(this.#parseLayer(item, context.layerDepth))
      } else {
        this.#index++
        this.#parseParam(item, step, context)
      }
      if (this.#items[this.#index - 1]!.separator === ':') step = null
    }
    // A step that only placed its layer has nothing of its own to do.
    return chain.filter(
      (node) => node.kind === 'if' || node.layers.length > 0 || Object.keys(node.params).length > 0,
    )
  }

  #countStep(item: Item) {
    if (++this.#steps > this.#limits.maxSteps) {
      throw this.#error(item, `there are more than ${this.#limits.maxSteps} steps`)
    }
  }

  #parseParam(
    item: Item,
    step: PassStep,
    context: { draft: LayerDraft | null; place: Place; ifDepth: number },
  ) {
    const { key, value } = splitItem(item.text)
    if (context.draft && this.#parseLayerParam(item, key, value, context.draft)) return
    const definition = findParam(key)
    if (!definition) {
      if (LEGACY_OVERLAY.test(key)) {
        throw this.#error(
          item,
          `"${key}" belongs to the old overlay syntax; use layers (l-image, l-text) instead`,
        )
      }
      throw this.#error(item, `"${shown(key)}" is not a known parameter`)
    }
    const allowed =
      definition.places.includes(context.place) ||
      (context.place === 'image' && definition.places.includes('video'))
    if (!allowed) throw this.#error(item, `"${key}" cannot be used ${PLACE_NAMES[context.place]}`)
    const parsed = this.#parseValue(item, key, value, definition.codec.parse)
    if (key === 'pg' && context.ifDepth > 0) throw this.#error(item, 'pg cannot be used in a condition')
    const params = step.params as Record<ParamKey, unknown>
    params[definition.key] = parsed
  }

  #parseValue<V>(item: Item, key: string, value: string, parse: (text: string) => V): V {
    try {
      return parse(value)
    } catch (cause) {
      throw badRequest(
        `Invalid transformation: the value "${shown(value)}" of "${key}" at position ${item.position} ${(cause as Error).message}.`,
        { cause },
      )
    }
  }

  #parseLayerParam(item: Item, key: string, value: string, draft: LayerDraft): boolean {
    if (key === 'i') {
      // Where both are given, the manual lets `ie` win.
      if (!draft.encoded) draft.input = value
    } else if (key === 'ie') {
      draft.input = this.#parseValue(item, key, value, decodeTruncated)
      draft.encoded = true
    } else if (key === 'lm') {
      draft.mode = this.#parseValue(item, key, value, layerMode.parse)
    } else if (Object.hasOwn(layerPositions, key)) {
      const codec = layerPositions[key as keyof typeof layerPositions]
      Object.assign(draft.position, { [key]: this.#parseValue<unknown>(item, key, value, codec.parse) })
    } else return false
    return true
  }

  #parseLayer(start: Item, depth: number): Layer {
    const typeName = start.text.slice(2)
    const type = Object.hasOwn(LAYER_TYPES, typeName) ? LAYER_TYPES[typeName]! : undefined
    if (!type)
      throw this.#error(
        start,
        `"${shown(typeName)}" is not a type of layer; use image, text, video or subtitles`,
      )
    if (depth >= this.#limits.maxLayerDepth) {
      throw this.#error(start, `layers are nested more than ${this.#limits.maxLayerDepth} deep`)
    }
    if (++this.#layers > this.#limits.maxLayers) {
      throw this.#error(start, `there are more than ${this.#limits.maxLayers} layers`)
    }
    this.#index++
    const draft: LayerDraft = { input: undefined, encoded: false, position: {}, mode: null }
    const chain = this.#parseChain({
      terminators: ['l-end'],
      draft,
      layerDepth: depth + 1,
      ifDepth: 0,
      place: this.#placeOf(type),
    })
    const end = this.#items[this.#index]
    if (end?.text !== 'l-end') throw this.#error(start, 'a layer is not closed with l-end')
    this.#index++
    if (draft.input === undefined || draft.input === '')
      throw this.#error(start, 'a layer has no input (i or ie)')
    if (
      draft.position.lxc !== undefined &&
      (draft.position.lx !== undefined || draft.position.ly !== undefined)
    ) {
      throw this.#error(start, 'a layer cannot have lxc together with lx or ly')
    }
    if (
      draft.position.lyc !== undefined &&
      (draft.position.lx !== undefined || draft.position.ly !== undefined)
    ) {
      throw this.#error(start, 'a layer cannot have lyc together with lx or ly')
    }
    return {
      type,
      input: this.#layerInput(start, type, draft.input),
      position: draft.position,
      mode: draft.mode,
      chain,
    }
  }

  /** The kind of a layer's parameters; an image layer is a canvas if its input, which may come last, says so. */
  #placeOf(type: LayerType): Place {
    if (type === 'text' || type === 'subtitles') return 'text'
    if (type === 'video') return 'video'
    let depth = 0
    for (let i = this.#index; i < this.#items.length; i++) {
      const text = this.#items[i]!.text
      if (text === 'l-end') {
        if (depth-- === 0) break
      } else if (text.startsWith('l-')) depth++
      else if (depth === 0 && text === 'i-ik_canvas') return 'canvas'
    }
    return 'image'
  }

  #layerInput(item: Item, type: LayerType, input: string): string {
    if (type !== 'text') return this.#parseValue(item, 'i', input, libraryPath.parse)
    const clean = input.replace(/[\u0000-\u0009\u000b-\u001f\u007f]/g, '')
    if (clean === '') throw this.#error(item, 'a text layer has no text')
    const characters = Array.from(clean)
    return characters.length > MAX_TEXT_LENGTH ? characters.slice(0, MAX_TEXT_LENGTH).join('') : clean
  }

  #parseIf(
    start: Item,
    context: { draft: LayerDraft | null; layerDepth: number; ifDepth: number; place: Place },
  ): IfStep {
    const condition = this.#parseValue(start, 'if', start.text.slice(3), parseCondition)
    this.#index++
    const inner = { ...context, terminators: ['if-else', 'if-end'], ifDepth: context.ifDepth + 1 }
    const whenTrue = this.#parseChain(inner)
    let whenFalse: Chain = []
    if (this.#items[this.#index]?.text === 'if-else') {
      this.#index++
      whenFalse = this.#parseChain({ ...inner, terminators: ['if-end'] })
    }
    const end = this.#items[this.#index]
    if (end?.text !== 'if-end') throw this.#error(start, 'a condition is not closed with if-end')
    this.#index++
    const next = this.#items[this.#index]
    const closes = next && (next.text === 'l-end' || next.text === 'if-else' || next.text === 'if-end')
    if (end.separator === ',' && next && !closes) {
      throw this.#error(next, 'a step with a condition cannot hold anything else')
    }
    return { kind: 'if', condition, whenTrue, whenFalse }
  }

  #error(item: Item, message: string) {
    return badRequest(`Invalid transformation at position ${item.position}: ${message}.`)
  }
}

const PLACE_NAMES: Record<Place, string> = {
  image: 'outside of a text layer',
  text: 'in a text layer',
  canvas: 'in a layer of ik_canvas',
  video: 'in a video layer',
}

/** Effects are keys of two parts: `e-usm-2-2-0.8-0.024` is `e-usm` and the rest. */
function splitItem(text: string): { key: string; value: string } {
  const from = text.startsWith('e-') ? text.indexOf('-', 2) : text.indexOf('-')
  return from < 0 ? { key: text, value: '' } : { key: text.slice(0, from), value: text.slice(from + 1) }
}

function shown(text: string): string {
  const clean = text.replace(/[\u0000-\u001f\u007f"]/g, '?')
  return clean.length > 40 ? `${clean.slice(0, 40)}…` : clean
}

function decodeTruncated(value: string): string {
  if (value.length <= MAX_BASE64_LENGTH) return decodeBase64Text(value)
  // A cut may fall within a character; only the last few bytes can be hurt by it.
  for (let length = MAX_BASE64_LENGTH; length > MAX_BASE64_LENGTH - 16; length -= 4) {
    try {
      return decodeBase64Text(value.slice(0, length))
    } catch {
      // Not UTF-8 when cut here: four characters less.
    }
  }
  throw new Error('must be base64 of UTF-8 text')
}

const PROPERTIES = new Set<string>(['w', 'h', 'ar', 'iw', 'ih', 'iar'])
const COMPARATORS = new Set<string>(['eq', 'ne', 'gt', 'gte', 'lt', 'lte'])

/** `h_gte_100_and_h_lte_400_or_ar_lt_4-3`: AND binds tighter than OR. */
function parseCondition(text: string): Comparison[][] {
  const tokens = text.split('_')
  if (tokens.length > 64) throw new Error('is too long')
  const alternatives: Comparison[][] = [[]]
  for (let i = 0; i < tokens.length; i += 4) {
    const [property, operator, valueText, joiner] = tokens.slice(i, i + 4)
    if (!property || !PROPERTIES.has(property))
      throw new Error(`has an unknown property "${shown(property ?? '')}"`)
    if (!operator || !COMPARATORS.has(operator))
      throw new Error(`has an unknown operator "${shown(operator ?? '')}"`)
    const value =
      parsePlainNumber(valueText ?? '') ?? (property.endsWith('ar') ? parseRatio(valueText ?? '') : undefined)
    if (value === undefined) throw new Error(`compares "${property}" with something that is not a number`)
    alternatives.at(-1)!.push({
      property: property as Property,
      operator: operator as Comparison['operator'],
      value,
    })
    if (joiner === undefined) return alternatives
    if (joiner === 'or') alternatives.push([])
    else if (joiner !== 'and') throw new Error(`has "${shown(joiner)}" where and / or is expected`)
  }
  throw new Error('is incomplete')
}

export const layerCodecs = { ...layerPositions, lm: layerMode, x: coordinate }
