import { Value } from 'typebox/value'
import {
  createExtensions,
  type ExtensionAsset,
  type ExtensionOptions,
  type Extensions,
  extensionOptions,
} from '../../src/extensions/extensions.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { createSafeFetch, type SafeFetch } from '../../src/kernel/safe-fetch.ts'
import { png } from './images.ts'

type Partly<T> = { [Name in keyof T]?: T[Name] extends unknown[] ? T[Name] : Partly<T[Name]> }

/** Extensions with the given settings and the defaults of all others. */
export function openExtensions(
  settings: Partly<ExtensionOptions>,
  deps: { safeFetch?: SafeFetch } = {},
): Extensions {
  const { local = {}, ...others } = settings
  const filled = {
    ...Object.fromEntries(Object.keys(extensionOptions.properties).map((name) => [name, {}])),
    ...others,
    local: { tagging: {}, cutOut: {}, ...local },
  }
  const options = Value.Parse(extensionOptions, Value.Default(extensionOptions, filled))
  return createExtensions(options, { safeFetch: deps.safeFetch ?? createSafeFetch(), log: silentLog })
}

/** A file as extensions see it; an image unless told otherwise. */
export function assetOf(given: Partial<ExtensionAsset> & { bytes?: Buffer } = {}): ExtensionAsset {
  const { bytes = png(6, 4), ...rest } = given
  return {
    fileType: 'image',
    mime: 'image/png',
    sizeBytes: bytes.length,
    read: async () => bytes,
    preview: async () => {
      throw new Error('no preview expected')
    },
    fields: [],
    ...rest,
  }
}
