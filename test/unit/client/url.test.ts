import { buildSrc } from '@imagekit/javascript'
import ImageKit6 from 'imagekit'
import { describe, expect, it } from 'vitest'
import { ImageKit } from '../../../client/browser/imagekit.js'

const urlEndpoint = 'https://media.example/demo'
const imagekit = new ImageKit({ publicKey: 'public_x', urlEndpoint })
const six = new ImageKit6({ publicKey: 'public_x', privateKey: 'private_x', urlEndpoint })

describe('url', () => {
  it.each([
    ['a path', { path: '/a/b.jpg' }, `${urlEndpoint}/a/b.jpg`],
    [
      'a path with a transformation',
      { path: 'a.jpg', transformation: [{ height: 300, width: 400 }] },
      `${urlEndpoint}/tr:h-300,w-400/a.jpg`,
    ],
    [
      'the transformation in the query',
      {
        path: '/a.jpg',
        transformation: [{ w: 1 }, { rotation: 90 }],
        transformationPosition: 'query' as const,
      },
      `${urlEndpoint}/a.jpg?tr=w-1:rt-90`,
    ],
    [
      'a source that has a query',
      { src: `${urlEndpoint}/a.jpg?updatedAt=1#x`, transformation: [{ width: 5 }] },
      `${urlEndpoint}/a.jpg?updatedAt=1&tr=w-5#x`,
    ],
    ['a source that is a path', { src: '/a.jpg' }, `${urlEndpoint}/a.jpg`],
    ['a path with a query', { path: '/a.jpg?v=1' }, `${urlEndpoint}/a.jpg?v=1`],
    [
      'a web-proxy path',
      { path: 'https://other.example/a.jpg' },
      `${urlEndpoint}/https://other.example/a.jpg`,
    ],
    ['query parameters', { path: 'a.jpg', queryParameters: { v: 'a b' } }, `${urlEndpoint}/a.jpg?v=a+b`],
    ['another endpoint', { path: 'a.jpg', urlEndpoint: 'https://b.example/' }, 'https://b.example/a.jpg'],
    ['nothing', {}, ''],
    [
      'effects and their switches',
      {
        path: 'a.jpg',
        transformation: [
          { grayscale: true, contrastStretch: '-', sharpen: 10, shadow: '', aiUpscale: false, blur: null },
        ],
      },
      `${urlEndpoint}/tr:e-grayscale,e-contrast,e-sharpen-10,e-shadow/a.jpg`,
    ],
    [
      'a path inside a value, and raw text',
      { path: 'a.jpg', transformation: [{ defaultImage: '/x/y.jpg', raw: 'l-text,i-Hi,l-end' }] },
      `${urlEndpoint}/tr:di-x@@y.jpg,l-text,i-Hi,l-end/a.jpg`,
    ],
    [
      'characters that would end the query',
      { src: `${urlEndpoint}/a.jpg`, transformation: [{ raw: 'l-text,i-a&b #é,l-end' }] },
      `${urlEndpoint}/a.jpg?tr=l-text,i-a%26b%20%23%C3%A9,l-end`,
    ],
    [
      'an unknown name as it is',
      { path: 'a.jpg', transformation: [{ toString: 1 }] },
      `${urlEndpoint}/tr:toString-1/a.jpg`,
    ],
  ])('%s', (_, options, url) => {
    expect(imagekit.url(options)).toBe(url)
  })

  it('refuses a value that it cannot write', () => {
    const transformation = [{ overlay: { type: 'text' } as unknown as string }]
    expect(() => imagekit.url({ path: 'a.jpg', transformation })).toThrow(
      'Transformation overlay must be text',
    )
  })

  const steps = [
    { width: 300, height: 200, cropMode: 'pad_resize', background: 'F3F3F3' },
    { rotation: 90, quality: 50 },
  ]
  it.each(['/a.jpg', 'dir/b c.jpg', '/é/ü.png'])('agrees with the official SDKs about %s', (path) => {
    expect(imagekit.url({ path, transformation: steps })).toBe(
      buildSrc({ urlEndpoint, src: path, transformation: steps as never, transformationPosition: 'path' }),
    )
    expect(imagekit.url({ path, transformation: steps, transformationPosition: 'query' })).toBe(
      buildSrc({ urlEndpoint, src: path, transformation: steps as never }),
    )
    const slashed = path.startsWith('/') ? path : `/${path}`
    expect(imagekit.url({ path, transformation: steps })).toBe(
      six.url({ path: slashed, transformation: steps as never }),
    )
  })
})
