import { settle } from './cluster-server.ts'
import { upload } from './tintype.ts'

/** Answer of the API: `body` is parsed JSON, undefined without a body. */
export type ApiAnswer = {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: answers of the API are judged by assertions, not by types
  body: any
}

type Target = { url: string; authorization: string }

/** One request of the management API. */
export async function call(
  tintype: Target,
  method: string,
  path: string,
  body?: unknown,
  authorization: string | null = tintype.authorization,
): Promise<ApiAnswer> {
  const response = await fetch(tintype.url + path, {
    method,
    headers: {
      ...(authorization === null ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  await settle(method, path)
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  }
}

/** Uploads to a fixed path and gives the answer. @throws when it is not accepted. */
export async function put(
  tintype: Target,
  path: string,
  bytes: Buffer,
  fields: Record<string, string> = {},
  // biome-ignore lint/suspicious/noExplicitAny: as above
): Promise<any> {
  const at = path.lastIndexOf('/')
  const answer = await upload(tintype, bytes, {
    fileName: path.slice(at + 1),
    folder: path.slice(0, at) || '/',
    useUniqueFileName: 'false',
    ...fields,
  })
  if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
