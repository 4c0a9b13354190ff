import { connect, type Socket } from 'node:net'

/**
 * A connection that sends ready-made requests and reads answers, one after the other, with as little work as
 * possible: on a machine of few cores a heavy client would hide differences between the servers.
 */
export type Connection = {
  /** Sends the bytes of one whole request. @returns the status and the length of the body. */
  exchange(request: Buffer[]): Promise<{ status: number; bodyBytes: number }>
  /** As `exchange`, the request coming in pieces, written as fast as the server takes them. */
  stream(pieces: Iterable<Buffer>): Promise<{ status: number; bodyBytes: number }>
  close(): void
}

export async function openConnection(port: number): Promise<Connection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(opened))
    opened.once('error', reject)
  })
  let head = ''
  let missingBytes = -1
  let bodyBytes = 0
  let status = 0
  let settle:
    | { resolve: (answer: { status: number; bodyBytes: number }) => void; reject: (error: Error) => void }
    | undefined

  socket.on('data', (chunk: Buffer) => {
    let rest = chunk.length
    if (missingBytes < 0) {
      head += chunk.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      rest = head.length - end - 4
      status = Number(head.slice(9, 12))
      const length = /\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))
      if (!length) return fail(new Error(`an answer without a length: ${head.slice(0, end)}`))
      bodyBytes = Number(length[1])
      missingBytes = bodyBytes
    }
    missingBytes -= rest
    if (missingBytes > 0) return
    head = ''
    missingBytes = -1
    settle?.resolve({ status, bodyBytes })
  })
  const fail = (error: Error) => {
    settle?.reject(error)
    socket.destroy()
  }
  socket.on('error', fail)
  socket.on('close', () => settle?.reject(new Error('the server closed the connection')))

  const answer = () =>
    new Promise<{ status: number; bodyBytes: number }>((resolve, reject) => {
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
