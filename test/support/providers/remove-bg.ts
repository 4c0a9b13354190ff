import { png } from '../images.ts'
import { type Received, type Service, startService } from './service.ts'

export const REMOVE_BG_KEY = 'remove-bg-test-key'

/** What remove.bg says when something is wrong. */
export const removeBgFailure = (status: number, title: string, code?: string) => ({
  status,
  body: { errors: [{ title, ...(code !== undefined && { code }) }] },
})

export const CUT_OUT = png(6, 4, 0xff00ff)

/** The form of a request, read by the platform's own parser. */
export function formOf({ headers, body }: Received): Promise<FormData> {
  return new Response(new Uint8Array(body), {
    headers: { 'content-type': headers['content-type']! },
  }).formData()
}

/** remove.bg's `POST /v1.0/removebg`. */
export function startRemoveBg(): Promise<Service> {
  return startService(async (request) => {
    if (request.method !== 'POST' || request.path !== '/v1.0/removebg') return { status: 404 }
    if (request.headers['x-api-key'] !== REMOVE_BG_KEY) {
      return removeBgFailure(403, 'API Key invalid', 'auth_failed')
    }
    const form = await formOf(request)
    const image = form.get('image_file')
    if (!(image instanceof File)) return removeBgFailure(400, 'No image given', 'missing_source')
    if (form.get('bg_color') && form.get('bg_image_url')) {
      return removeBgFailure(400, 'Multiple backgrounds given', 'multiple_backgrounds')
    }
    return {
      headers: {
        'content-type': 'image/png',
        'x-type': 'product',
        'x-width': '6',
        'x-height': '4',
        'x-credits-charged': '1',
      },
      body: CUT_OUT,
    }
  })
}
