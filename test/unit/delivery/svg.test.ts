import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sanitizeSvg } from '../../../src/delivery/svg.ts'

const svg = (inside: string, attributes = '') =>
  `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"${attributes}>${inside}</svg>`
const clean = (inside: string, attributes = '') => {
  const before = svg('', attributes).slice(0, -6)
  return (
    sanitizeSvg(svg(inside, attributes))
      ?.replace(/<\/svg>$/, '')
      .replace(sanitizeSvg(svg('', attributes))!.slice(0, -6), '') ?? before
  )
}

describe('sanitizeSvg', () => {
  test.each([
    '<path d="M0 0L1 1" fill="#fff"/>',
    '<g transform="scale(2)"><text x="1">a &amp; b<tspan dy="2">c</tspan> d</text></g>',
    '<defs><linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient></defs><rect fill="url(#g)"/>',
    '<use xlink:href="#a"/>',
    '<use href="#a"/>',
    '<image href="data:image/png;base64,iVBORw0KGgo="/>',
    '<style>.a{fill:red;clip-path:url(#c)}</style>',
    '<rect style="fill:url(\'#g\')"/>',
  ])('keeps %s', (inside) => {
    expect(clean(inside)).toBe(inside)
  })

  test.each([
    ['<script>alert(1)</script>', ''],
    ['<script href="data:text/javascript,1"/>', ''],
    ['<g onload="alert(1)"/>', '<g/>'],
    ['<g ONLOAD="alert(1)"/>', '<g/>'],
    ['<a href="javascript:alert(1)"><rect/></a>', ''],
    ['<foreignObject><iframe srcdoc="x"/></foreignObject>', ''],
    ['<use href="http://example.com/a.svg#b"/>', '<use/>'],
    ['<use href="data:image/svg+xml;base64,AAAA#x"/>', '<use/>'],
    ['<image href="http://example.com/a.png"/>', '<image/>'],
    ['<image href="data:image/svg+xml;base64,AAAA"/>', '<image/>'],
    ['<image xlink:href="file:///etc/passwd"/>', '<image/>'],
    ['<set attributeName="href" to="javascript:1"/>', ''],
    ['<animate attributeName="href" values="javascript:1"/>', ''],
    ['<style>@import "http://example.com/a.css";</style>', '<style></style>'],
    ['<style>a{background:url(http://example.com/)}</style>', '<style></style>'],
    ['<style><![CDATA[@im\\70 ort "x";]]></style>', '<style></style>'],
    ['<style>a{b:url(&#104;ttp://example.com)}</style>', '<style></style>'],
    ['<rect fill="url(http://example.com/#a)"/>', '<rect/>'],
    ['<rect style="background:url( //example.com )"/>', '<rect/>'],
    ['<x:script xmlns:x="http://www.w3.org/2000/svg">1</x:script>', ''],
    ['<h:g xmlns:h="http://www.w3.org/1999/xhtml"/>', ''],
    ['<g xmlns="http://www.w3.org/1999/xhtml"/>', ''],
    ['<text>&undeclared;</text>', '<text></text>'],
    ['<!-- a --><?b c?><rect/>', '<rect/>'],
    ['<g><script>1</script><rect/></g>', '<g><rect/></g>'],
  ])('%s becomes %s', (inside, expected) => {
    expect(clean(inside)).toBe(expected)
  })

  test('drops the document type and what stands around the drawing', () => {
    const text = `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x "<script>">]>\n${svg('<text>&x;</text>')}<script/>`
    expect(sanitizeSvg(text)).toBe(svg('<text></text>'))
  })
  test('reads drawings whose elements have a prefix', () => {
    const text = '<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:rect/><s:script>1</s:script></s:svg>'
    expect(sanitizeSvg(text)).toBe('<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:rect/></s:svg>')
  })
  test.each(['', 'text', '<html/>', '<svg><g></svg>', '<svg', svg('<g>').slice(0, -6), '<svg a=b></svg>'])(
    'refuses %s',
    (text) => {
      expect(sanitizeSvg(text)).toBeUndefined()
    },
  )
  test('is at rest with its own output, whatever it is given', () => {
    const parts = fc.constantFrom(
      '<g>',
      '</g>',
      '<rect/>',
      '<script>',
      '</script>',
      '<style>',
      '</style>',
      '&lt;',
      '&x;',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      ' onload="x"',
      'javascript:',
      '<a href="#x">',
      '</a>',
      'text',
      '<',
      '>',
      '"',
      "'",
    )
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 30 }), (all) => {
        const once = sanitizeSvg(svg(all.join('')))
        if (once === undefined) return
        expect(sanitizeSvg(once)).toBe(once)
        expect(once).not.toMatch(/<script|<a |<[^>]*\sonload=/i)
      }),
      { numRuns: 2000 },
    )
  })
})
