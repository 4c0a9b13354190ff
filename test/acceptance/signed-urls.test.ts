import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer()
  for (const [folder, fileName] of [
    ['/', 'secret.png'],
    ['/deep/er', 'secret.png'],
    ['/deep/er', 'ségrèt-写真.png'],
  ] as const) {
    const answer = await uploadFile(server, png(60, 40), {
      fileName,
      folder,
      useUniqueFileName: 'false',
      isPrivateFile: 'true',
    })
    expect(answer.status, answer.body.toString()).toBe(200)
  }
})
afterAll(() => server?.dispose())

const statusOf = async (url: string) => (await send(server, url.slice(server.url.length))).status

/** As a browser sends it: what is no part of a URL's alphabet is percent-encoded on the way. */
const sent = (url: string) => new URL(url).href

type Signed = { name: string; url: string }

/** URLs that the official SDKs sign, in all the ways in which they can be asked to. */
function signedUrls(): Signed[] {
  const urls: Signed[] = []
  const six = sdk6(server)
  const seven = sdk7(server)
  const paths = ['/secret.png', 'secret.png', '/deep/er/secret.png', '/deep/er/ségrèt-写真.png']
  const transformations = {
    none: [],
    one: [{ width: 30, height: 20 }],
    chain: [{ width: 30 }, { rotation: 90 }, { border: '5_FFF000' }],
    raw: [{ raw: 'w-20,bg-F00000' }],
  }
  for (const path of paths) {
    for (const [kind, transformation] of Object.entries(transformations)) {
      for (const position of ['path', 'query'] as const) {
        for (const expires of [undefined, 600]) {
          const name = `${path} ${kind} in the ${position}${expires ? ', expiring' : ''}`
          urls.push({
            name: `7: ${name}`,
            url: seven.helper.buildSrc({
              urlEndpoint: server.endpoint,
              src: path,
              transformation: transformation as never,
              transformationPosition: position,
              queryParameters: { v: 'a b&c', x: 1 } as never,
              signed: true,
              ...(expires ? { expiresIn: expires } : {}),
            }),
          })
          // The legacy SDK puts no slash between the endpoint and a path without one.
          if (!path.startsWith('/')) continue
          urls.push({
            name: `6: ${name}`,
            url: six.url({
              path,
              urlEndpoint: server.endpoint,
              transformation: transformation as never,
              transformationPosition: position,
              queryParameters: { v: '1-2' },
              signed: true,
              ...(expires ? { expireSeconds: expires } : {}),
            }),
          })
        }
      }
    }
  }
  urls.push({
    name: '7: text with a character of its own',
    url: seven.helper.buildSrc({
      urlEndpoint: server.endpoint,
      src: '/secret.png',
      transformation: [{ overlay: { type: 'text', text: 'naïve, 50% & more' } }],
      signed: true,
    }),
  })
  urls.push({
    name: '7: an absolute source',
    url: seven.helper.buildSrc({
      urlEndpoint: server.endpoint,
      src: `${server.endpoint}/secret.png`,
      signed: true,
    }),
  })
  return urls
}

describe('what the official SDKs sign', () => {
  test('is accepted, in every form', async () => {
    const urls = signedUrls()
    expect(urls.length).toBeGreaterThan(60)
    const refused: string[] = []
    for (const { name, url } of urls) {
      const status = await statusOf(sent(url))
      if (status !== 200) refused.push(`${name}: ${status} ${url}`)
    }
    expect(refused).toEqual([])
  })

  test('is refused after any change of one character', async () => {
    const urls = signedUrls().filter((_, index) => index % 9 === 0)
    const accepted: string[] = []
    for (const { url } of urls) {
      const good = sent(url)
      const start = server.endpoint.length + 1
      // All characters of the signature, and a part of the rest, so that the test ends.
      const signature = good.indexOf('ik-s=')
      for (let at = start; at < good.length; at++) {
        if (at < signature && at % 5 !== 0) continue
        for (const character of replacements(good[at]!)) {
          const changed = good.slice(0, at) + character + good.slice(at + 1)
          if (meansTheSame(good, changed)) continue
          const status = await statusOf(changed)
          if (status < 400) accepted.push(`${status} ${changed}`)
        }
      }
    }
    expect(accepted).toEqual([])
  })

  test('is refused with a character more, one less, or another file', async () => {
    const url = sent(
      sdk7(server).helper.buildSrc({
        urlEndpoint: server.endpoint,
        src: '/secret.png',
        transformation: [{ width: 30 }],
        signed: true,
        expiresIn: 600,
      }),
    )
    expect(await statusOf(url)).toBe(200)
    for (const changed of [
      `${url}0`,
      url.slice(0, -1),
      url.replace('secret', 'deep/er/secret'),
      url.replace('tr=w-30', 'tr=w-30,h-5'),
      url.replace('tr=w-30&', ''),
      url.replace('?tr=w-30&', '?'),
      `${url}&tr=w-50`,
      url.replace('ik-t=', 'ik-t=1'),
      url.replace(/ik-t=\d+&/, ''),
      url.replace('ik-s=', 'ik-s=0&ik-s='),
      url.toUpperCase().replace(server.url.toUpperCase(), server.url),
      url.replace(/ik-s=(.*)$/, (_, hex: string) => `ik-s=${hex.toUpperCase()}`),
      url.replace('/demo/', '/demo/tr:w-10/'),
    ]) {
      if (changed !== url) expect(await statusOf(changed), changed).toBeGreaterThanOrEqual(400)
    }
  })
})

test('the pseudo-code of the manual signs as it should', async () => {
  const imageUrl = `${server.endpoint}/tr:w-40:rt-91/deep/er/secret.png`
  const urlEndpoint = `${server.endpoint}/`
  const expiryTimestamp = Math.floor(Date.now() / 1000) + 300
  const str = imageUrl.replace(urlEndpoint, '') + expiryTimestamp
  const signature = createHmac('sha1', server.privateKey).update(str).digest('hex')
  expect(await statusOf(`${imageUrl}?ik-t=${expiryTimestamp}&ik-s=${signature}`)).toBe(200)
  expect(await statusOf(`${imageUrl}?ik-s=${signature}&ik-t=${expiryTimestamp}`)).toBe(200)
  expect(await statusOf(`${imageUrl}?ik-t=${expiryTimestamp + 1}&ik-s=${signature}`)).toBe(401)
})

/** One character that is near, and one that separates something. */
function replacements(character: string): string[] {
  const near = character === '0' ? '1' : String.fromCharCode(character.charCodeAt(0) ^ 1)
  return [/[A-Za-z0-9._~-]/.test(near) ? near : 'x', '/'].filter((other) => other !== character)
}

/** Whether two URLs decode to the same, as those do whose percent-encoding is in other letters. */
function meansTheSame(a: string, b: string): boolean {
  try {
    return decodeURIComponent(a) === decodeURIComponent(b)
  } catch {
    return false
  }
}
