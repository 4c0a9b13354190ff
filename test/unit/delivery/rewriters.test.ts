import { describe, expect, test } from 'vitest'
import { parseAddress } from '../../../src/delivery/address.ts'
import { type Rewriter, rewrite } from '../../../src/delivery/rewriters/rewriters.ts'
import { parseTransformation, printTransformation } from '../../../src/transform/transform.ts'

const cloudinary: Rewriter = { type: 'CLOUDINARY' }
const fromPath = (path: string, rewriter = cloudinary) => {
  const { path: rest, transformation } = rewrite(rewriter, { path, query: '' })
  // What is made has to be understood here.
  if (transformation !== null) parseTransformation(transformation, { form: 'url' })
  return [transformation, rest]
}
const fromQuery = (type: 'IMGIX' | 'AKAMAI', query: string) => {
  const { transformation } = rewrite({ type }, { path: '/a.jpg', query })
  if (transformation !== null) parseTransformation(transformation, { form: 'url' })
  return transformation
}

describe('Cloudinary, as the manual translates it', () => {
  test.each([
    ['w_100', 'w-100'],
    ['h_100', 'h-100'],
    ['ar_2.5', 'ar-2.5-1'],
    ['ar_3', 'ar-3-1'],
    ['ar_4:3', 'ar-4-3'],
    ['g_north', 'fo-top'],
    ['g_center', 'fo-center'],
    ['g_auto', 'fo-auto'],
    ['g_face', 'fo-face'],
    ['x_100', 'x-100'],
    ['y_100', 'y-100'],
    ['f_jpg', 'f-jpg'],
    ['q_60', 'q-60'],
    ['q_auto', 'q-70'],
    ['q_auto:low', 'q-50'],
    ['q_auto:best', 'q-86'],
    ['a_90', 'rt-90'],
    ['a_-67', 'rt-N67'],
    ['r_20', 'r-20'],
    ['r_20:30:40:50', 'r-20'],
    ['r_max', 'r-max'],
    ['e_blur', 'bl-1'],
    ['e_blur:500', 'bl-5'],
    ['e_grayscale', 'e-grayscale'],
    ['e_contrast:100', 'e-contrast'],
    ['e_sharpen:500', 'e-sharpen-5'],
    ['e_unsharp_mask:500', 'e-usm-0-5-1-0.05'],
    ['e_unsharp_mask:250', 'e-usm-0-2.5-1-0.05'],
    ['e_trim', 't-true'],
    ['e_trim:20', 't-20'],
    ['e_trim:20:red', 't-20'],
    ['bo_5px_solid_red', 'b-5_red'],
    ['bo_5px_solid_BLUE', 'b-5_blue'],
    ['bo_5px_solid_rgb:AAAA54', 'b-5_AAAA54'],
    ['bo_5px_solid_rgb:AAAA54A9', 'b-5_AAAA5466'],
    ['bo_5px_solid_rgb:B4F', 'b-5_BB44FF'],
    ['bo_5px_solid_rgb:B4F9', 'b-5_BB44FF60'],
    ['b_red', 'bg-red'],
    ['b_rgb:AAAA54A9', 'bg-AAAA5466'],
    ['b_blurred', 'bg-blurred'],
    ['b_blurred:100', 'bg-blurred_5'],
    ['b_blurred:100:10', 'bg-blurred_5_25'],
    ['b_blurred:100:-300', 'bg-blurred_5_N255'],
    ['dpr_3.0', 'dpr-3.0'],
    ['c_crop', 'cm-extract'],
    ['c_fill', 'c-maintain_ratio'],
    ['c_fit', 'c-at_max'],
    ['c_pad', 'cm-pad_resize'],
    ['c_scale', 'c-force'],
    ['t_my_look', 'n-my_look'],
    ['fl_progressive', 'pr-true'],
    ['fl_progressive:semi', 'pr-true'],
    ['fl_progressive:none', 'pr-false'],
    ['so_10.5599', 'so-10.56'],
    ['eo_10.5522', 'eo-10.55'],
    ['du_10.5500', 'du-10.55'],
    ['z_2.0', 'z-2.0'],
    ['h_300,w_300,c_crop,g_north', 'h-300,w-300,cm-extract,fo-top'],
    ['h_300,w_300,c_crop,g_north/a_50', 'h-300,w-300,cm-extract,fo-top:rt-50'],
    // A known key with a value that makes no sense is left out.
    ['h_100,w_wide/a_90', 'h-100:rt-90'],
    ['w_wide/a_90', 'rt-90'],
    ['h_100%2Cw_50', 'h-100,w-50'],
  ])('%s', (text, expected) => {
    expect(fromPath(`/${text}/folder/image.jpg`)).toEqual([expected, '/folder/image.jpg'])
  })

  test.each([
    ['/folder/image.jpg', null, '/folder/image.jpg'],
    ['/w_100/v1571218039/folder/image.jpg', 'w-100', '/folder/image.jpg'],
    ['/v1571218039/folder/image.jpg', null, '/folder/image.jpg'],
    ['/image/upload/w_100/image.jpg', 'w-100', '/image.jpg'],
    ['/my_folder/image.jpg', null, '/my_folder/image.jpg'],
    // Only the beginning of a path can be a transformation, and the file never.
    ['/folder/w_100/image.jpg', null, '/folder/w_100/image.jpg'],
    ['/w_100', null, '/w_100'],
    ['/w_100,what/image.jpg', null, '/w_100,what/image.jpg'],
  ])('%s', (path, transformation, rest) => {
    expect(fromPath(path)).toEqual([transformation, rest])
  })
  test('types of assets may be a part of the path', () => {
    const preserving: Rewriter = { type: 'CLOUDINARY', preserveAssetDeliveryTypes: true }
    expect(fromPath('/image/upload/w_100/v1/a.jpg', preserving)).toEqual(['w-100', '/image/upload/a.jpg'])
  })

  const printed = (path: string) => {
    const [transformation] = fromPath(path)
    return printTransformation(parseTransformation(transformation!, { form: 'url' }))
  }
  test.each([
    ['/l_text:Roboto_50:Hello%20World/a.jpg', 'l-text,i-Hello World,ff-Roboto,fs-50,l-end'],
    [
      '/l_text:Roboto_50_bold_left:one%252C%20two,co_rgb:B4F,g_south,y_10/a.jpg',
      'l-text,i-one%2C two,ff-Roboto,fs-50,tg-b,ia-left,co-BB44FF,lap-bottom,ly-10,l-end',
    ],
    [
      '/w_100/l_shop:logo.png,w_20,g_north_west/a.jpg',
      'w-100:l-image,i-shop@@logo.png,lfo-top_left,w-20,l-end',
    ],
    ['/l_logo.png/w_20,r_5/fl_layer_apply,g_center,x_5/rt_1/a.jpg', undefined],
    [
      '/l_logo.png/w_20/r_5/fl_layer_apply,g_center,x_5/a_90/a.jpg',
      'l-image,i-logo.png,lap-center,lx-5,w-20:r-5,l-end:rt-90',
    ],
  ])('layers: %s', (path, expected) => {
    if (expected === undefined) expect(fromPath(path)[1]).toContain('rt_1')
    else expect(printed(path)).toBe(printTransformation(parseTransformation(expected)))
  })
})

test.each([
  ['w=100', 'w-100'],
  ['h=100', 'h-100'],
  ['w=9&ar=2:3', 'w-9,ar-2-3'],
  ['crop=top', 'fo-top'],
  ['crop=top,left', 'fo-top_left'],
  ['crop=left,top', 'fo-top_left'],
  ['crop=faces', 'fo-auto'],
  ['fit=clip', 'c-at_max_enlarge'],
  ['fit=fill', 'cm-pad_resize'],
  ['fit=scale', 'c-force'],
  ['fit=crop', null],
  ['fit=fillmax', 'cm-pad_resize'],
  ['fit=max', 'c-at_max'],
  ['fit=facearea', 'fo-face'],
  ['fm=jpg', 'f-jpg'],
  ['fm=png8', 'f-png'],
  ['q=60', 'q-60'],
  ['orient=6', 'rt-90'],
  ['orient=180', 'rt-180'],
  ['fill-color=red', 'bg-red'],
  ['fill-color=A9AAAA54', 'bg-AAAA5466'],
  ['fill-color=9B4F', 'bg-BB44FF60'],
  ['bg=BLUE', 'bg-blue'],
  ['bg=B4F', 'bg-BB44FF'],
  ['dpr=3.0', 'dpr-3.0'],
  // The manual goes on to 2000, which e-sharpen does not.
  ['sharp=4', 'e-sharpen-80'],
  ['sharp=100', 'e-sharpen-99'],
  ['con=30', 'e-contrast'],
  ['con=-50', 'e-contrast'],
  ['usm=40', 'e-usm-2.5-8.00-1-0.05'],
  ['blur=100', 'bl-5'],
  ['trim=auto', 't-true'],
  ['trim=color', 't-true'],
  ['h=100&w=wide&blur=100', 'h-100,bl-5'],
  ['ixlib=js-1.0&s=abc', null],
])('imgix: %s', (query, expected) => {
  expect(fromQuery('IMGIX', query)).toBe(expected)
})

test.each([
  ['imwidth=100', 'w-100'],
  ['imheight=100', 'h-100'],
  ['imwidth=100&imheight=50', 'w-100,h-50'],
  ['imwidth=x', null],
])('Akamai: %s', (query, expected) => {
  expect(fromQuery('AKAMAI', query)).toBe(expected)
})

test('an endpoint with a rewriter understands both spellings', () => {
  const address = (target: string, rewriter: Rewriter) => {
    const { path, transformation } = parseAddress(target, '/demo/old', rewriter)
    return [path, transformation]
  }
  expect(address('/demo/old/w_5/x/a.jpg', cloudinary)).toEqual(['/x/a.jpg', 'w-5'])
  expect(address('/demo/old/tr:w-5/x/a.jpg', cloudinary)).toEqual(['/x/a.jpg', 'w-5'])
  expect(address('/demo/old/x/a.jpg?w=5&tr=rt-90', { type: 'IMGIX' })).toEqual(['/x/a.jpg', 'w-5:rt-90'])
})
