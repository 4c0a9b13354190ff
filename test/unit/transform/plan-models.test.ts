import { describe, expect, test } from 'vitest'
import {
  focusOnObjects,
  type PassStep,
  parseTransformation,
  printTransformation,
  splitAtModel,
} from '../../../src/transform/transform.ts'

const split = (text: string) => {
  const found = splitAtModel(parseTransformation(text))
  return (
    found && [
      found.operation,
      found.parameters,
      printTransformation(found.before),
      printTransformation(found.after),
    ]
  )
}

describe('splitAtModel', () => {
  test.each([
    ['w-100,h-50', undefined],
    ['l-image,i-a.png,e-bgremove,l-end', undefined],
    ['e-bgremove', ['bgremove', {}, '', '']],
    ['w-100:e-removedotbg,h-50:rt-90', ['removedotbg', {}, 'w-100', 'h-50:rt-90']],
    ['e-dropshadow', ['dropshadow', { azimuthDeg: 215, elevationDeg: 45, saturation: 60 }, '', '']],
    ['e-changebg-prompt-snow road,w-5', ['changebg', { prompt: 'snow road' }, '', 'w-5']],
    ['e-edit-prompte-YSBoYXQ%3D', ['edit', { prompt: 'a hat' }, '', '']],
    ['e-retouch:e-upscale', ['retouch', {}, '', 'e-upscale']],
    ['e-genvar', ['genvar', {}, '', '']],
    ['w-10,h-10,fo-face', ['detect', { objects: ['face'] }, '', 'w-10,h-10,fo-face']],
    ['rt-90:fo-cat_dog', ['detect', { objects: ['cat', 'dog'] }, 'rt-90', 'fo-cat_dog']],
    [
      'w-10,h-20,cm-pad_resize,bg-genfill-prompt-sky,r-5',
      ['genfill', { prompt: 'sky' }, 'w-10,h-20,cm-pad_resize,bg-00000000', 'r-5'],
    ],
  ])('%s', (text, expected) => {
    expect(split(text)).toEqual(expected)
  })
  test.each([
    'e-bgremove,e-upscale',
    'w-10,bg-genfill',
    'w-10,h-10,bg-genfill',
    'w-10,cm-pad_resize,bg-genfill',
  ])('%s is refused', (text) => {
    expect(() => split(text)).toThrow()
  })
})

describe('focusOnObjects', () => {
  const size = { widthPx: 400, heightPx: 300 }
  const face = { leftPx: 100, topPx: 50, widthPx: 40, heightPx: 20 }
  const focus = (text: string, objects = [face]) => {
    const [step] = parseTransformation(text)
    return printTransformation(focusOnObjects(step as PassStep, objects, size))
  }
  test.each([
    // Tight around the object.
    ['fo-face', 'w-40,h-20,cm-extract,x-100,y-50'],
    // Of the ratio that is asked for, around its centre (120, 60).
    ['fo-face,ar-1-1', 'w-40,h-40,cm-extract,x-100,y-40'],
    ['w-80,h-80,fo-face', 'w-40,h-40,cm-extract,x-100,y-40:w-80,h-80'],
    ['w-80,h-20,fo-face', 'w-80,h-20,cm-extract,x-80,y-50:w-80,h-20'],
    ['w-80,fo-face', 'w-40,h-20,cm-extract,x-100,y-50:w-80'],
    // Zoomed out and in.
    ['w-80,h-80,fo-face,z-0.5', 'w-80,h-80,cm-extract,x-80,y-20:w-80,h-80'],
    ['w-80,h-80,fo-face,z-2', 'w-20,h-20,cm-extract,x-110,y-50:w-80,h-80'],
    // Never beyond the picture.
    ['w-80,h-80,fo-face,z-0.01', 'w-300,h-300,cm-extract,x-0,y-0:w-80,h-80'],
    ['fo-face,z-0.01', 'w-400,h-300,cm-extract,x-0,y-0'],
    // Extraction keeps the scale.
    ['w-80,h-80,cm-extract,fo-face', 'w-80,h-80,cm-extract,xc-120,yc-60'],
    ['w-80,h-80,fo-face,r-5', 'w-40,h-40,cm-extract,x-100,y-40:w-80,h-80,r-5'],
  ])('%s', (text, expected) => {
    expect(focus(text)).toBe(printTransformation(parseTransformation(expected)))
  })
  test('several objects count as one, and none as the middle', () => {
    const other = { leftPx: 300, topPx: 200, widthPx: 50, heightPx: 50 }
    expect(focus('fo-face', [face, other])).toBe('w-250,h-200,cm-extract,x-100,y-50')
    expect(focus('w-80,h-80,fo-face', [])).toBe('w-80,h-80')
  })
})
