import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Asked, Recalled } from './recalled.ts'

/** Longer heads are left to Node; those of browsers are shorter. */
const MAX_HEAD_BYTES = 8192

export type Shortcut = {
  /** To be told of every request that Node's HTTP server has read, before it is answered. */
  note(request: IncomingMessage, response: ServerResponse): void
  /** Watches a connection for further requests, once this one is over: it has asked for something that is in memory. */
  follow(request: IncomingMessage, response: ServerResponse): void
}

/** A connection that is watched. */
type Followed = {
  /** Requests that Node's HTTP server has not finished. */
  open: number
  /** Pieces handed to Node's HTTP server so far. */
  pieces: number
  /** What the last piece was, if it was one whole request and came alone. */
  awaited: Head | undefined
  /** Whether Node's HTTP server has finished all that it was given, so that a request begins with the next byte. */
  inStep: boolean
}

/** A whole request without a body. */
type Head = Asked & { fields: number }

/**
 * Answers requests for what is in memory before Node's HTTP server sees them, whose share of such a request is larger
 * than all the rest. Only a piece of data that is one whole plain GET or HEAD is read here, and only on a connection
 * where Node has just finished a request that both have read alike, so that no byte can be taken for the beginning of a
 * request that Node would take for something else. All the rest is handed to Node, which keeps the connection, with its
 * limits and time-outs.
 */
export function createShortcut(options: {
  /** The answer to a request, if there is one at once. */
  answer: (asked: Asked) => Recalled | undefined
  keepAliveMs: number
  /** Called before an answer is written. @returns what is called when it has been. */
  begin: () => () => void
}): Shortcut {
  const { answer, begin } = options
  const followed = new WeakMap<Socket, Followed>()
  const lastLines = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.keepAliveMs / 1000)}\r\n\r\n`
  const date = createDateLine()

  const send = (socket: Socket, { status, head, body }: Recalled) => {
    const end = begin()
    const id = head.requestId
    const text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nx-ik-requestid: ${id}\r\nx-request-id: ${id}\r\n${head.lines}${date()}${lastLines}`
    if (body === null) {
      socket.write(text, 'latin1', end)
      return
    }
    socket.cork()
    socket.write(text, 'latin1')
    socket.write(body, end)
    socket.uncork()
  }

  const watch = (socket: Socket) => {
    const [toNode, ...others] = socket.listeners('data')
    if (toNode === undefined || others.length > 0 || socket.destroyed) return
    const state: Followed = { open: 0, pieces: 0, awaited: undefined, inStep: false }
    followed.set(socket, state)
    socket.removeListener('data', toNode as (piece: Buffer) => void)
    socket.on('data', (piece: Buffer) => {
      const isAlone = state.inStep || state.open === 0
      const head = isAlone ? readHead(piece) : undefined
      // What a slow reader has not taken yet is in the way, and Node knows how to wait.
      if (head && state.inStep && socket.writableLength === 0) {
        const recalled = answer(head)
        if (recalled) return send(socket, recalled)
      }
      state.inStep = false
      state.awaited = head
      state.pieces += 1
      toNode.call(socket, piece)
    })
  }

  return {
    note(request, response) {
      const state = followed.get(request.socket)
      if (!state) return
      const { awaited, pieces } = state
      state.awaited = undefined
      state.open += 1
      const isAlike = awaited !== undefined && isSame(awaited, request)
      response.on('close', () => {
        state.open -= 1
        state.inStep = isAlike && state.open === 0 && state.pieces === pieces
      })
    },
    follow({ socket }, response) {
      if (!followed.has(socket)) response.on('close', () => followed.has(socket) || watch(socket))
    },
  }
}

/** Bytes that Node had kept from before would have made other requests of it. */
function isSame(head: Head, request: IncomingMessage): boolean {
  return (
    head.method === request.method &&
    head.target === request.url &&
    head.fields * 2 === request.rawHeaders.length
  )
}

const REQUEST_LINE = /^(GET|HEAD) (\/[\x21-\x7e]*) HTTP\/1\.1$/
const FIELD = /^([\w!#$%&'*+.^`|~-]+):[ \t]*((?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?)[ \t]*$/

/** Fields that make a request more than a plain one. */
const SPECIAL = new Set(['content-length', 'transfer-encoding', 'expect', 'upgrade', 'trailer', 'te'])

/** Reads a piece of data that is one whole request, of the plainest form; undefined for everything else. */
export function readHead(piece: Buffer): Head | undefined {
  if (piece.length > MAX_HEAD_BYTES || piece[piece.length - 1] !== 10) return undefined
  const text = piece.toString('latin1')
  const end = text.length - 4
  if (text.indexOf('\r\n\r\n') !== end) return undefined
  const [requestLine, ...lines] = text.slice(0, end).split('\r\n')
  const [, method, target] = REQUEST_LINE.exec(requestLine!) ?? []
  if (method === undefined || target === undefined) return undefined
  const headers: IncomingHttpHeaders = Object.create(null)
  for (const line of lines) {
    const field = FIELD.exec(line)
    if (!field) return undefined
    const name = field[1]!.toLowerCase()
    // What is sent twice is joined, refused or left out, each by a rule of its own.
    if (headers[name] !== undefined || SPECIAL.has(name)) return undefined
    headers[name] = field[2]!
  }
  const { host, connection } = headers
  if (host === undefined || (connection !== undefined && !/^keep-alive$/i.test(connection))) return undefined
  return { method, target, headers, fields: lines.length }
}

/** The `Date` field, made once a second. */
function createDateLine(): () => string {
  let line = ''
  let second = 0
  return () => {
    const nowMs = Date.now()
    const now = Math.floor(nowMs / 1000)
    if (now !== second) {
      second = now
      line = `Date: ${new Date(nowMs).toUTCString()}\r\n`
    }
    return line
  }
}
