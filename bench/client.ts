import { connect, type Socket } from 'node:net'

/**
 * A connection that sends ready-made requests and reads answers, one after the other, with as little work as
 * possible: on a machine of few cores a heavy client would hide differences between the servers.
 */
export type Connection = {
  /** Sends the bytes of one whole request. */
  exchange(request: Buffer[]): Promise<Answer>
  /** As `exchange`, the request coming in pieces, written as fast as the server takes them. */
  stream(pieces: Iterable<Buffer>): Promise<Answer>
  close(): void
}

export type Answer = {
  status: number
  /** Status line and header fields as they came. */
  head: string
  bodyBytes: number
  /** The body as it came. */
  body: Buffer[]
}

const END_OF_HEAD = '\r\n\r\n'

export async function openConnection(port: number): Promise<Connection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(opened))
    opened.once('error', reject)
  })
  let begun: Buffer | undefined
  let current: Answer | undefined
  let missingBytes = 0
  let settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined

  socket.on('data', (chunk: Buffer) => {
    let piece = chunk
    if (!current) {
      const bytes = begun ? Buffer.concat([begun, chunk]) : chunk
      const end = bytes.indexOf(END_OF_HEAD)
      begun = bytes
      if (end < 0) return
      begun = undefined
      const head = bytes.toString('latin1', 0, end)
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)
      if (!length) return fail(new Error(`an answer without a length: ${head}`))
      missingBytes = Number(length[1])
      current = { status: Number(head.slice(9, 12)), head, bodyBytes: missingBytes, body: [] }
      piece = bytes.subarray(end + END_OF_HEAD.length)
    }
    current.body.push(piece)
    missingBytes -= piece.length
    if (missingBytes > 0) return
    const answer = current
    current = undefined
    settle?.resolve(answer)
  })
  const fail = (error: Error) => {
    settle?.reject(error)
    socket.destroy()
  }
  socket.on('error', fail)
  socket.on('close', () => settle?.reject(new Error('the server closed the connection')))

  const answer = () =>
    new Promise<Answer>((resolve, reject) => {
      settle = { resolve, reject }
    })
  return {
    exchange(request) {
      const promise = answer()
      socket.cork()
      for (const piece of request) socket.write(piece)
      socket.uncork()
      return promise
    },
    async stream(pieces) {
      const promise = answer()
      for (const piece of pieces) {
        if (!socket.write(piece)) await new Promise((resolve) => socket.once('drain', resolve))
      }
      return promise
    },
    close: () => socket.destroy(),
  }
}

/** Runs `count` exchanges over the connections, each as soon as its connection is free. @returns seconds. */
export async function runExchanges(
  connections: Connection[],
  count: number,
  request: (at: number) => Buffer[],
): Promise<number> {
  let next = 0
  const began = performance.now()
  await Promise.all(
    connections.map(async (connection) => {
      while (next < count) {
        const answer = await connection.exchange(request(next++))
        if (answer.status !== 200) throw new Error(`an answer with status ${answer.status}`)
      }
    }),
  )
  return (performance.now() - began) / 1000
}
