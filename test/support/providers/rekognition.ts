import { createHash, createHmac } from 'node:crypto'
import { type Received, type Service, startService } from './service.ts'

export const ACCESS_KEY_ID = 'AKIATESTTESTTESTTEST'
export const SECRET_ACCESS_KEY = 'secret/of+the+test'

/** A failure of the AWS JSON 1.1 protocol. */
export const awsFailure = (type: string, status = 400) => ({
  status,
  headers: { 'content-type': 'application/x-amz-json-1.1' },
  body: JSON.stringify({ __type: type, message: `${type} happened.` }),
})

/** Rekognition's `DetectLabels`, with the signature checked as AWS does (Signature Version 4). */
export function startRekognition(): Promise<Service> {
  return startService((request) => {
    if (request.headers['x-amz-target'] !== 'RekognitionService.DetectLabels') {
      return awsFailure('UnknownOperationException')
    }
    if (!isSigned(request)) return awsFailure('InvalidSignatureException')
    const { Image, MaxLabels, MinConfidence } = JSON.parse(request.body.toString('utf8'))
    if (Buffer.from(Image.Bytes, 'base64').length > 5 * 1024 * 1024)
      return awsFailure('ImageTooLargeException')
    const labels = LABELS.filter(({ Confidence }) => Confidence >= MinConfidence).slice(0, MaxLabels)
    return {
      headers: { 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ Labels: labels, LabelModelVersion: '3.0' }),
    }
  })
}

const label = (Name: string, Confidence: number) => ({ Name, Confidence, Instances: [], Parents: [] })
const LABELS = [
  label('Teddy Bear', 98.5245132446289),
  label('Toy', 98.5245132446289),
  label('Sweets', 77.84123229980469),
  label('Heart', 61.19),
]

const hex = (text: string | Buffer) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()

function isSigned({ method, path, headers, body }: Received): boolean {
  const parts =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/rekognition\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    )
  if (!parts || parts[1] !== ACCESS_KEY_ID) return false
  const [, , date, region, names, signature] = parts as unknown as string[]
  const lines = names!.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`)
  const canonical = [method, path, '', lines.join(''), names, hex(body)].join('\n')
  const scope = `${date}/${region}/rekognition/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, hex(canonical)].join('\n')
  const key = [region!, 'rekognition', 'aws4_request'].reduce(
    (secret, part) => hmac(secret, part),
    hmac(`AWS4${SECRET_ACCESS_KEY}`, date!),
  )
  return hmac(key, toSign).toString('hex') === signature
}
