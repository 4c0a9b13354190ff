import { type Static, Type } from 'typebox'
import { blobOptions } from '../blobs/blobs.ts'
import { counterOptions } from '../counters/counters.ts'
import { deliveryOptions } from '../delivery/delivery.ts'
import { extensionOptions } from '../extensions/extensions.ts'
import { httpOptions } from '../http/http.ts'
import { auditOptions } from '../kernel/audit-log.ts'
import { safeFetchOptions } from '../kernel/safe-fetch.ts'
import { tracingOptions } from '../kernel/tracing.ts'
import {
  accountOptions,
  extensionRunOptions,
  folderOptions,
  housekeepingOptions,
  purgeOptions,
  uploadOptions,
  usageOptions,
  webhookOptions,
} from '../library/library.ts'
import { mediaOptions } from '../media/media.ts'
import { originOptions } from '../origins/origins.ts'
import { signingOptions } from '../signing/signing.ts'
import { storeOptions } from '../store/store.ts'
import { transformOptions } from '../transform/transform.ts'
import { workerOptions } from '../worker/worker.ts'

/** Every setting. Each module owns the schema of its part; here they are only put together. */
export const configSchema = Type.Object({
  dataDir: Type.String({
    default: './data',
    minLength: 1,
    description: 'Folder of the database, the files and the caches.',
  }),
  logLevel: Type.Union(
    ['debug', 'info', 'warn', 'error', 'silent'].map((level) => Type.Literal(level)),
    { default: 'info', description: 'Least severe log lines that are written.' },
  ),
  account: accountOptions,
  http: httpOptions,
  upload: uploadOptions,
  media: mediaOptions,
  delivery: deliveryOptions,
  origins: originOptions,
  transform: transformOptions,
  store: storeOptions,
  blobs: blobOptions,
  fetch: safeFetchOptions,
  housekeeping: housekeepingOptions,
  folders: folderOptions,
  purge: purgeOptions,
  worker: workerOptions,
  extensions: Type.Object({ ...extensionRunOptions.properties, ...extensionOptions.properties }),
  webhooks: webhookOptions,
  signing: signingOptions,
  usage: usageOptions,
  counters: counterOptions,
  tracing: tracingOptions,
  audit: auditOptions,
})
export type Config = Static<typeof configSchema>

/** Short environment names of the settings that people set first; all others follow from the path (`envNameOf`). */
export const SHORT_NAMES: Record<string, string> = {
  'http.port': 'PORT',
  'http.host': 'HOST',
  'http.publicUrl': 'TINTYPE_PUBLIC_URL',
  'account.id': 'TINTYPE_ID',
  'account.publicKey': 'TINTYPE_PUBLIC_KEY',
  'account.privateKey': 'TINTYPE_PRIVATE_KEY',
  'store.databaseUrl': 'TINTYPE_DATABASE_URL',
  'store.encryptionKey': 'TINTYPE_ENCRYPTION_KEY',
  'store.previousEncryptionKeys': 'TINTYPE_PREVIOUS_ENCRYPTION_KEYS',
  'counters.redisUrl': 'TINTYPE_REDIS_URL',
  'blobs.s3.endpoint': 'TINTYPE_S3_ENDPOINT',
  'blobs.s3.bucket': 'TINTYPE_S3_BUCKET',
  'blobs.s3.region': 'TINTYPE_S3_REGION',
  'blobs.s3.accessKey': 'TINTYPE_S3_ACCESS_KEY',
  'blobs.s3.secretKey': 'TINTYPE_S3_SECRET_KEY',
  'extensions.google.endpoint': 'TINTYPE_GOOGLE_VISION_ENDPOINT',
  'extensions.google.apiKey': 'TINTYPE_GOOGLE_VISION_API_KEY',
  'extensions.google.serviceAccountJson': 'TINTYPE_GOOGLE_SERVICE_ACCOUNT',
  'extensions.aws.endpoint': 'TINTYPE_AWS_REKOGNITION_ENDPOINT',
  'extensions.aws.region': 'TINTYPE_AWS_REGION',
  'extensions.aws.accessKeyId': 'TINTYPE_AWS_ACCESS_KEY_ID',
  'extensions.aws.secretAccessKey': 'TINTYPE_AWS_SECRET_ACCESS_KEY',
  'extensions.removeBg.endpoint': 'TINTYPE_REMOVE_BG_ENDPOINT',
  'extensions.removeBg.apiKey': 'TINTYPE_REMOVE_BG_API_KEY',
  'extensions.http.url': 'TINTYPE_AI_HTTP_URL',
  'extensions.http.token': 'TINTYPE_AI_HTTP_TOKEN',
  'extensions.chat.url': 'TINTYPE_AI_CHAT_URL',
  'extensions.chat.model': 'TINTYPE_AI_CHAT_MODEL',
  'extensions.chat.apiKey': 'TINTYPE_AI_CHAT_API_KEY',
  'webhooks.url': 'TINTYPE_WEBHOOK_URL',
  'webhooks.secret': 'TINTYPE_WEBHOOK_SECRET',
  'fetch.allowPrivateNetwork': 'TINTYPE_ALLOW_PRIVATE_NETWORK',
}

/** `delivery.maxAgeSec` → `TINTYPE_DELIVERY_MAX_AGE_SEC`, `origins.cacheMiB` → `TINTYPE_ORIGINS_CACHE_MIB`. */
export function envNameOf(path: string): string {
  const short = SHORT_NAMES[path]
  if (short !== undefined) return short
  const words = path.replaceAll('.', '_').replace(/[KM]iB|[A-Z]/g, '_$&')
  return `TINTYPE_${words.toUpperCase()}`
}

export type Setting = { path: string; env: string; schema: SettingSchema }
export type SettingSchema = {
  type?: string
  anyOf?: { const?: unknown }[]
  items?: { type?: string }
  description?: string
  default?: unknown
}

/** All settings as a flat list, in the order of the schema. */
export function listSettings(schema: unknown = configSchema, prefix = ''): Setting[] {
  const { properties } = schema as { properties: Record<string, SettingSchema & { properties?: unknown }> }
  return Object.entries(properties).flatMap(([name, child]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`
    if (child.properties !== undefined) return listSettings(child, path)
    return [{ path, env: envNameOf(path), schema: child }]
  })
}
