import { type Service, startService } from './service.ts'

/** A model server of the operator's own, with answers by task (docs/extensions.md). */
export function startModelServer(answers: Record<string, unknown>): Promise<Service> {
  return startService(({ method, headers, body }) => {
    if (method !== 'POST' || headers['content-type'] !== 'application/json') return { status: 400 }
    const { version, task, image } = JSON.parse(body.toString('utf8'))
    if (version !== 1 || typeof image.mime !== 'string' || image.data === '') return { status: 400 }
    const answer = answers[task as string]
    if (answer === undefined) return { status: 404 }
    if (Buffer.isBuffer(answer)) return { headers: { 'content-type': 'image/png' }, body: answer }
    return { body: answer as object }
  })
}

/** A language model behind the chat completions API, which says `content` whatever it is asked. */
export function startChat(content: string | null): Promise<Service> {
  return startService(({ method, path, body }) => {
    if (method !== 'POST' || path !== '/v1/chat/completions') return { status: 404 }
    const { model, messages } = JSON.parse(body.toString('utf8'))
    const parts = messages.at(-1).content
    if (!parts[1].image_url.url.startsWith('data:image/')) {
      return { status: 400, body: { error: { message: 'no image', type: 'invalid_request_error' } } }
    }
    return {
      body: {
        id: 'chatcmpl-1',
        object: 'chat.completion',
        model,
        choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      },
    }
  })
}
