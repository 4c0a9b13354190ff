/**
 * An XMLHttpRequest for the `xhr` option of `@imagekit/javascript`, whose upload host is hard-coded: what it opens
 * on `upload.imagekit.io` or `api.imagekit.io` goes to `endpoint` instead, everything else where it was meant to.
 * One request, one object.
 * @param endpoint where Tintype answers API calls, e.g. `https://media.example.com`.
 */
export function createXhr(endpoint: string): Xhr

/** The browser's XMLHttpRequest, without demanding DOM types of a program that has none. */
export type Xhr = typeof globalThis extends { XMLHttpRequest: { prototype: infer T } }
  ? T
  : { open(method: string, url: string): void; send(body?: unknown): void; abort(): void }
