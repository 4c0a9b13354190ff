import { createSocket, type Socket } from 'node:dgram'

/** What a name has: addresses, or a name in their place. `silent` gets no answer at all. */
export type Zone = Record<string, { a?: string[]; aaaa?: string[]; cname?: string } | 'silent'>

const A = 1
const CNAME = 5
const AAAA = 28

/**
 * A name server with the given zone; every other name does not exist.
 * @param rebind names whose A record is the first address at the first question and the second one ever after.
 */
export function startNameServer(
  zone: Zone,
  rebind: Record<string, [string, string]>,
): {
  socket: Socket
  /** Questions for A records so far, by name. */
  asked: Map<string, number>
} {
  const socket = createSocket('udp4')
  const asked = new Map<string, number>()
  socket.on('message', (query, from) => {
    const { name, type, end } = readQuestion(query)
    if (type === A) asked.set(name, (asked.get(name) ?? 0) + 1)
    const entry = rebind[name] ? { a: [rebind[name][(asked.get(name) ?? 1) > 1 ? 1 : 0]] } : zone[name]
    if (entry === 'silent') return
    const answers: Buffer[] = []
    if (entry?.cname) answers.push(record(CNAME, encodeName(entry.cname)))
    if (type === A)
      answers.push(...(entry?.a ?? []).map((text) => record(A, Buffer.from(text.split('.').map(Number)))))
    if (type === AAAA)
      answers.push(...(entry?.aaaa ?? []).map((text) => record(AAAA, Buffer.from(text, 'hex'))))
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(entry ? 0x8580 : 0x8583, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(answers.length, 6)
    socket.send(Buffer.concat([header, query.subarray(12, end), ...answers]), from.port, from.address)
  })
  socket.bind(53, '127.0.0.1')
  return { socket, asked }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** A record of the name that was asked for, to be forgotten at once. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function encodeName(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.from([0])])
}
