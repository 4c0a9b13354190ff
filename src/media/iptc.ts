/** IPTC IIM datasets are limited by the block they lie in; a photograph has some dozens. */
const MAX_DATASETS = 4096

type Dataset = { name: string; isList?: boolean; print?: (data: Buffer) => unknown }

const number = (data: Buffer) =>
  data.length > 0 && data.length <= 4 ? data.readUIntBE(0, data.length) : undefined

function printDate(data: Buffer): string {
  return data.toString('latin1').replace(/^(\d{4})(\d\d)(\d\d)$/, '$1:$2:$3')
}

function printTime(data: Buffer): string {
  return data
    .toString('latin1')
    .replace(/^(\d\d)(\d\d)(\d\d)(?:([+-]\d\d)(\d\d))?$/, (_, hour, minute, second, zone, zoneMinute) =>
      zone === undefined ? `${hour}:${minute}:${second}` : `${hour}:${minute}:${second}${zone}:${zoneMinute}`,
    )
}

/** Record 1, the envelope. */
const ENVELOPE: Record<number, Dataset> = {
  0: { name: 'EnvelopeRecordVersion', print: number },
  5: { name: 'Destination', isList: true },
  20: { name: 'FileFormat', print: number },
  22: { name: 'FileVersion', print: number },
  30: { name: 'ServiceIdentifier' },
  40: { name: 'EnvelopeNumber' },
  50: { name: 'ProductID', isList: true },
  60: { name: 'EnvelopePriority' },
  70: { name: 'DateSent', print: printDate },
  80: { name: 'TimeSent', print: printTime },
  90: { name: 'CodedCharacterSet', print: (data) => (isUtf8Mark(data) ? 'UTF8' : undefined) },
  100: { name: 'UniqueObjectName' },
}

/** Record 2, the application. Names without ExifTool's hyphens, as the API shows them. */
const APPLICATION: Record<number, Dataset> = {
  0: { name: 'ApplicationRecordVersion', print: number },
  3: { name: 'ObjectTypeReference' },
  4: { name: 'ObjectAttributeReference', isList: true },
  5: { name: 'ObjectName' },
  7: { name: 'EditStatus' },
  8: { name: 'EditorialUpdate' },
  10: { name: 'Urgency', print: (data) => URGENCIES[data.toString('latin1')] ?? data.toString('latin1') },
  12: { name: 'SubjectReference', isList: true },
  15: { name: 'Category' },
  20: { name: 'SupplementalCategories', isList: true },
  22: { name: 'FixtureIdentifier' },
  25: { name: 'Keywords', isList: true },
  26: { name: 'ContentLocationCode', isList: true },
  27: { name: 'ContentLocationName', isList: true },
  30: { name: 'ReleaseDate', print: printDate },
  35: { name: 'ReleaseTime', print: printTime },
  37: { name: 'ExpirationDate', print: printDate },
  38: { name: 'ExpirationTime', print: printTime },
  40: { name: 'SpecialInstructions' },
  42: { name: 'ActionAdvised' },
  45: { name: 'ReferenceService', isList: true },
  47: { name: 'ReferenceDate', isList: true, print: printDate },
  50: { name: 'ReferenceNumber', isList: true },
  55: { name: 'DateCreated', print: printDate },
  60: { name: 'TimeCreated', print: printTime },
  62: { name: 'DigitalCreationDate', print: printDate },
  63: { name: 'DigitalCreationTime', print: printTime },
  65: { name: 'OriginatingProgram' },
  70: { name: 'ProgramVersion' },
  75: { name: 'ObjectCycle' },
  80: { name: 'Byline', isList: true },
  85: { name: 'BylineTitle', isList: true },
  90: { name: 'City' },
  92: { name: 'Sublocation' },
  95: { name: 'ProvinceState' },
  100: { name: 'CountryPrimaryLocationCode' },
  101: { name: 'CountryPrimaryLocationName' },
  103: { name: 'OriginalTransmissionReference' },
  105: { name: 'Headline' },
  110: { name: 'Credit' },
  115: { name: 'Source' },
  116: { name: 'CopyrightNotice' },
  118: { name: 'Contact', isList: true },
  120: { name: 'CaptionAbstract' },
  121: { name: 'LocalCaption' },
  122: { name: 'WriterEditor', isList: true },
  130: { name: 'ImageType' },
  131: { name: 'ImageOrientation' },
  135: { name: 'LanguageIdentifier' },
  187: { name: 'UniqueDocumentID' },
  221: { name: 'Prefs' },
  225: { name: 'ClassifyState' },
  230: { name: 'DocumentNotes' },
}

const URGENCIES: Record<string, string> = {
  0: '0 (reserved)',
  1: '1 (most urgent)',
  5: '5 (normal urgency)',
  8: '8 (least urgent)',
  9: '9 (user-defined priority)',
}

/**
 * Reads IPTC IIM records (IIM version 4).
 * @returns values by ExifTool's names without hyphens; a list where a dataset is repeatable and repeated.
 */
export function readIptc(block: Buffer): Map<string, unknown> {
  const result = new Map<string, unknown>()
  let isUtf8 = false
  let at = 0
  for (let count = 0; count < MAX_DATASETS && at + 5 <= block.length && block[at] === 0x1c; count++) {
    const record = block[at + 1]!
    const key = block[at + 2]!
    const length = block.readUInt16BE(at + 3)
    // Extended datasets hold previews.
    if (length >= 0x8000) break
    const data = block.subarray(at + 5, at + 5 + length)
    at += 5 + length
    if (record === 1 && key === 90) isUtf8 = isUtf8Mark(data)
    const dataset = record === 1 ? ENVELOPE[key] : record === 2 ? APPLICATION[key] : undefined
    if (!dataset) continue
    const value = dataset.print ? dataset.print(data) : decode(data, isUtf8)
    if (value === undefined) continue
    const before = result.get(dataset.name)
    if (before === undefined || !dataset.isList) result.set(dataset.name, value)
    else if (Array.isArray(before)) before.push(value)
    else result.set(dataset.name, [before, value])
  }
  return result
}

function isUtf8Mark(data: Buffer): boolean {
  return data.toString('latin1') === '\x1b%G'
}

const utf8 = new TextDecoder('utf-8', { fatal: true })
const latin = new TextDecoder('windows-1252')

/** Many writers use UTF-8 without the mark for it. */
function decode(data: Buffer, isUtf8: boolean): string {
  const end = data.length > 0 && data[data.length - 1] === 0 ? data.indexOf(0) : data.length
  const text = data.subarray(0, end)
  if (isUtf8) return text.toString('utf8')
  try {
    return utf8.decode(text)
  } catch {
    return latin.decode(text)
  }
}
