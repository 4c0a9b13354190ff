import { invalidAnswer } from './failures.ts'
import type { AiTag } from './provider.ts'
import type { AutoTaggingRequest } from './requests.ts'

/** Longest name of a tag that is taken from a service. */
const MAX_NAME_LENGTH = 100
const MAX_DESCRIPTION_LENGTH = 4096

/**
 * Turns what a service named into AI tags: cleaned, at or above `minConfidence`, the most certain first, at most
 * `maxTags`, each name once.
 * @param labels confidence from 0 to 100.
 */
export function chooseTags(
  labels: { name: string; confidence: number }[],
  request: AutoTaggingRequest,
): AiTag[] {
  const tags = new Map<string, AiTag>()
  const sorted = labels
    .map(({ name, confidence }) => ({
      name: cleanText(name, MAX_NAME_LENGTH),
      confidence: Math.round(Math.min(Math.max(confidence, 0), 100) * 100) / 100,
    }))
    .filter(({ name, confidence }) => name !== '' && confidence >= request.minConfidence)
    .sort((a, b) => b.confidence - a.confidence)
  for (const { name, confidence } of sorted) {
    const key = name.toLowerCase()
    if (!tags.has(key)) tags.set(key, { name, confidence, source: request.name })
    if (tags.size > request.maxTags) break
  }
  return [...tags.values()].slice(0, request.maxTags)
}

/** @throws TintypeError internal when nothing is left of what a service wrote. */
export function readDescription(service: string, text: string): string {
  const description = cleanText(text, MAX_DESCRIPTION_LENGTH)
  if (description === '') throw invalidAnswer(service, new Error('the description is empty'))
  return description
}

/** Text of a foreign service without control characters, overrides of direction and surplus white space. */
export function cleanText(text: string, maxLength: number): string {
  const clean = text.replace(/[\p{Cc}\p{Cs}\s\u202a-\u202e\u2066-\u2069\ufeff]+/gu, ' ').trim()
  // A cut in the middle of a pair would leave half a character.
  return clean.slice(0, maxLength).replace(/[\ud800-\udbff]$/, '')
}
