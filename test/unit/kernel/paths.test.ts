import { describe, expect, it } from 'vitest'
import {
  cleanFileName,
  joinPath,
  normalizeFolderPath,
  parentPath,
  splitFilePath,
  suffixName,
} from '../../../src/kernel/paths.ts'

describe('cleanFileName', () => {
  it.each([
    ['photo.jpg', 'photo.jpg'],
    ['my photo (1).jpg', 'my_photo__1_.jpg'],
    ['../../etc/passwd', '.._.._etc_passwd'],
    ['été.jpg', 'été.jpg'],
    ['e\u0301te\u0301.jpg', 'été.jpg'],
    ['写真-१२.png', '写真-१२.png'],
    ['a\u0000b\r\nc.jpg', 'a_b__c.jpg'],
    ['x\u202Egpj.exe', 'x_gpj.exe'],
    ['\ud800.jpg', '_.jpg'],
    ['😀.jpg', '_.jpg'],
    ['<script>\'".svg', '_script___.svg'],
  ])('%j becomes %j', (raw, clean) => expect(cleanFileName(raw)).toBe(clean))

  it.each(['', '.', '..', 'a'.repeat(256), '写'.repeat(86)])('refuses %j', (raw) =>
    expect(() => cleanFileName(raw)).toThrow(/fileName/),
  )
})

describe('normalizeFolderPath', () => {
  it.each([
    ['', '/'],
    ['/', '/'],
    ['a', '/a'],
    ['/a//b/', '/a/b'],
    ['/images/été/', '/images/été'],
    ['/v1.2/x y', '/v1_2/x_y'],
    ['tr:w-100', '/tr_w-100'],
  ])('%j becomes %j', (raw, normal) => expect(normalizeFolderPath(raw)).toBe(normal))

  it('allows 50 levels and refuses 51', () => {
    expect(normalizeFolderPath('a/'.repeat(50)).split('/')).toHaveLength(51)
    expect(() => normalizeFolderPath('a/'.repeat(51))).toThrow(/50 levels/)
  })

  it.each(['..', '/a/../b', '/a/.'])('refuses %j', (raw) =>
    expect(() => normalizeFolderPath(raw)).toThrow("'.' & '..' can not be used as folder-name"),
  )
})

describe('paths', () => {
  it('splits and joins', () => {
    expect(splitFilePath('/a/b/c.jpg')).toEqual({ folderPath: '/a/b', name: 'c.jpg' })
    expect(splitFilePath('c.jpg')).toEqual({ folderPath: '/', name: 'c.jpg' })
    expect(joinPath('/', 'c.jpg')).toBe('/c.jpg')
    expect(joinPath('/a', 'c.jpg')).toBe('/a/c.jpg')
    expect(parentPath('/')).toBeNull()
    expect(parentPath('/a')).toBe('/')
    expect(parentPath('/a/b')).toBe('/a')
  })

  it('puts the unique suffix before the extension', () => {
    expect(suffixName('image.jpg', 'iEyH1dQme')).toBe('image_iEyH1dQme.jpg')
    expect(suffixName('noext', 'X')).toBe('noext_X')
    expect(suffixName('.env', 'X')).toBe('.env_X')
    expect(Buffer.byteLength(suffixName(`${'写'.repeat(83)}.jpg`, 'iEyH1dQme'))).toBeLessThanOrEqual(255)
  })
})
