import { randomBytes } from 'node:crypto'
import ImageKit from '@imagekit/nodejs'
import ImageKit6 from 'imagekit'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { signWebhook } from '../../../src/signing/signing.ts'

const body = JSON.stringify({ id: 'evt_1', type: 'file.created', data: { name: 'é.jpg' } })
const secret = `whsec_${randomBytes(24).toString('base64')}`
const six = new ImageKit6({ publicKey: 'p', privateKey: 'k', urlEndpoint: 'https://media.example/demo' })
const seven = new ImageKit({ privateKey: 'k', webhookSecret: secret })

describe('signWebhook', () => {
  const nowMs = Date.now()
  const headers = signWebhook({ id: 'evt_1', body, secret, nowMs })

  it('convinces the older SDK', () => {
    expect(six.verifyWebhookEvent(body, headers['x-ik-signature'], secret)).toEqual({
      timestamp: nowMs,
      event: JSON.parse(body),
    })
  })

  it('convinces the newer SDK, which reads the key in its own way', () => {
    expect(seven.webhooks.unwrap(body, { headers })).toEqual(JSON.parse(body))
  })

  it('convinces a receiver that follows the specification', () => {
    expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
  })

  it('convinces nobody about another body, id, time or secret', () => {
    expect(() => six.verifyWebhookEvent(`${body} `, headers['x-ik-signature'], secret)).toThrow()
    for (const changed of [
      { body: `${body} `, headers },
      { body, headers: { ...headers, 'webhook-id': 'evt_2' } },
      { body, headers: { ...headers, 'webhook-timestamp': String(Math.floor(nowMs / 1000) - 1) } },
    ]) {
      expect(() => seven.webhooks.unwrap(changed.body, { headers: changed.headers })).toThrow()
      expect(() => new Webhook(secret).verify(changed.body, changed.headers)).toThrow()
    }
    expect(() => seven.webhooks.unwrap(body, { headers, key: 'whsec_other' })).toThrow()
  })

  it('signs with a secret that is not in the usual form too', () => {
    const own = signWebhook({ id: 'evt_1', body, secret: 'my own secret', nowMs })
    expect(own['webhook-signature'].split(' ')).toHaveLength(1)
    expect(seven.webhooks.unwrap(body, { headers: own, key: 'my own secret' })).toEqual(JSON.parse(body))
  })
})
