import { hmac } from './digest.ts'

/**
 * The headers that prove a webhook comes from us. Two schemes are live, and receivers know one of them
 * (contract notes 1.12): `x-ik-signature` in milliseconds and hex, and Standard Webhooks in seconds and base64. For
 * the latter the official SDK takes the whole `whsec_…` text as the key while the specification takes the bytes
 * behind the prefix, so both signatures are sent in the one header (trust E23).
 * @param options.id stable over all attempts of one event, so that receivers can drop repeats.
 * @param options.body the exact bytes sent, as text.
 * @param options.nowMs time of this attempt.
 */
export function signWebhook(options: {
  id: string
  body: string
  secret: string
  nowMs: number
}): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature' | 'x-ik-signature', string> {
  const { id, body, secret, nowMs } = options
  const timestampSec = Math.floor(nowMs / 1000)
  const keys: (string | Buffer)[] = [secret]
  const specifiedKey = readSpecifiedKey(secret)
  if (specifiedKey) keys.push(specifiedKey)
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSec),
    'webhook-signature': keys
      .map((key) => `v1,${hmac('sha256', key, `${id}.${timestampSec}.${body}`).toString('base64')}`)
      .join(' '),
    'x-ik-signature': `t=${nowMs},v1=${hmac('sha256', secret, `${nowMs}.${body}`).toString('hex')}`,
  }
}

/** The key bytes of a secret in the specification's form, undefined for one that an operator made up. */
function readSpecifiedKey(secret: string): Buffer | undefined {
  const match = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)
  return match ? Buffer.from(match[1]!, 'base64') : undefined
}
