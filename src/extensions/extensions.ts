import { type Static, Type } from 'typebox'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import { checkTaskFields } from './ai-tasks.ts'
import { awsOptions, createAwsAutoTagging } from './aws-auto-tagging.ts'
import { chatOptions, createChat } from './chat.ts'
import { createGoogleAutoTagging, googleOptions } from './google-auto-tagging.ts'
import { createModelServer, modelServerOptions } from './http.ts'
import { createLocal, localOptions } from './local/local.ts'
import { createPixels } from './local/pixels.ts'
import type { ExtensionAsset, ExtensionResult, MetadataField, Provider } from './provider.ts'
import { createRemoveBg, removeBgOptions } from './remove-bg.ts'
import { EXTENSION_NAMES, type ExtensionConfig, type ExtensionName } from './requests.ts'

export { retryOf } from './failures.ts'
export type { AiTag, AssetChanges, ExtensionAsset, ExtensionResult, MetadataField } from './provider.ts'
export {
  EXTENSION_NAMES,
  type ExtensionConfig,
  type ExtensionName,
  type ExtensionRequest,
  extensionConfigSchema,
  extensionRequestSchema,
  parseExtensionConfig,
  parseExtensions,
  resolveExtensions,
  type SavedExtensionReference,
} from './requests.ts'

/** Who does the work of extensions. None is set up by default. */
export const extensionOptions = Type.Object({
  google: googleOptions,
  aws: awsOptions,
  removeBg: removeBgOptions,
  http: modelServerOptions,
  chat: chatOptions,
  local: localOptions,
})
export type ExtensionOptions = Static<typeof extensionOptions>

/** The extensions that this installation can do. */
export type Extensions = {
  isConfigured(name: ExtensionName): boolean
  /**
   * Checks, before anything is stored, that requests can be done here.
   * @param fields the custom metadata fields that are defined now.
   * @throws TintypeError bad-request for an extension that nobody is set up to do, or a field that does not exist.
   */
  check(requests: ExtensionConfig[], fields: MetadataField[]): void
  /**
   * Runs one extension once. Nothing is applied to the file.
   * @param signal ends the wait, for those that try it within a request.
   * @throws TintypeError with a public message; `retryOf` tells whether and when another try makes sense.
   */
  run(request: ExtensionConfig, asset: ExtensionAsset, signal?: AbortSignal): Promise<ExtensionResult>
  close(): Promise<void>
}

/** A picture that a client names as the background of a cut-out; protects memory. */
const MAX_BACKGROUND_BYTES = 25 * 1024 * 1024

/** What to set, for the message of an extension that is not set up. */
const SETTINGS: Record<ExtensionName, string> = {
  'google-auto-tagging': 'TINTYPE_GOOGLE_VISION_API_KEY',
  'aws-auto-tagging': 'TINTYPE_AWS_ACCESS_KEY_ID and TINTYPE_AWS_SECRET_ACCESS_KEY',
  'remove-bg': 'TINTYPE_REMOVE_BG_API_KEY',
  'ai-auto-description': 'TINTYPE_AI_CHAT_URL and TINTYPE_AI_CHAT_MODEL',
  'ai-tasks': 'TINTYPE_AI_CHAT_URL and TINTYPE_AI_CHAT_MODEL',
}

/**
 * Sets up the providers whose settings suffice.
 * @param deps.safeFetch brings in what clients name by URL, under the rules for URLs that are not trusted.
 * @throws Error when a setting is there but cannot be used, such as the key of a service account.
 */
export function createExtensions(
  options: ExtensionOptions,
  deps: { safeFetch: SafeFetch; log: Log },
): Extensions {
  const pixels = createPixels(options.local, deps.log)
  const backgrounds = { safeFetch: deps.safeFetch, maxBytes: MAX_BACKGROUND_BYTES }
  // The first that serves a name gets it: the service that the name means, then the operator's own ones.
  const providers = [
    createGoogleAutoTagging(options.google),
    createAwsAutoTagging(options.aws),
    createRemoveBg(options.removeBg),
    createModelServer(options.http, { pixels, backgrounds }),
    createChat(options.chat),
    createLocal(options.local, { pixels, backgrounds }),
  ].filter((provider) => provider !== undefined)
  const serving = new Map<ExtensionName, Provider>()
  for (const name of EXTENSION_NAMES) {
    const provider = providers.find(({ serves }) => serves.includes(name))
    if (provider) serving.set(name, provider)
  }

  const providerOf = (name: ExtensionName): Provider => {
    const provider = serving.get(name)
    if (provider) return provider
    throw badRequest(
      `The extension ${name} is not set up on this server. Set ${SETTINGS[name]}, or TINTYPE_AI_HTTP_URL for a model server of your own.`,
    )
  }

  return {
    isConfigured: (name) => serving.has(name),
    check(requests, fields) {
      for (const { name } of requests) providerOf(name)
      checkTaskFields(requests, fields)
    },
    async run(request, asset, signal = new AbortController().signal) {
      const provider = providerOf(request.name)
      // Asking for no tags costs nothing and needs nobody.
      if ('maxTags' in request && request.maxTags === 0) return { kind: 'ai-tags', tags: [] }
      const startMs = performance.now()
      const fields = { extension: request.name, provider: provider.id }
      try {
        const result = await provider.run(request, asset, signal)
        deps.log.info({ ...fields, durationMs: Math.round(performance.now() - startMs) }, 'extension done')
        return result
      } catch (error) {
        const known =
          error instanceof TintypeError
            ? error
            : new TintypeError('internal', `The extension ${request.name} failed.`, { cause: error })
        deps.log.warn(
          { ...fields, durationMs: Math.round(performance.now() - startMs), err: known },
          'extension failed',
        )
        throw known
      }
    },
    async close() {
      await Promise.all(providers.map((provider) => provider.close?.()))
      await pixels.close()
    },
  }
}
