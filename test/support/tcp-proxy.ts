import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type TcpProxy = {
  port: number
  /** Ends all connections and takes no others, as a server that was stopped. */
  close(): void
  /** Takes connections again. */
  open(): void
  stop(): Promise<void>
}

/** Hands connections on to a server, as long as it is told to. */
export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let isOpen = true
  const server = createServer((incoming) => {
    if (!isOpen) {
      incoming.destroy()
      return
    }
    const onward = connect(target.port, target.host)
    for (const socket of [incoming, onward]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        incoming.destroy()
        onward.destroy()
      })
    }
    incoming.pipe(onward)
    onward.pipe(incoming)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      isOpen = false
      cut()
    },
    open() {
      isOpen = true
    },
    async stop() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
