/** As much of XMLHttpRequest as uploads use, over fetch: Node has none, and a real one is tested in a browser. */
export class NodeXhr extends EventTarget {
  readonly upload = new EventTarget()
  onload: (() => void) | undefined
  onerror: (() => void) | undefined
  status = 0
  responseText = ''
  private request: { method: string; url: string } | undefined
  private headers: Headers | undefined
  private readonly controller = new AbortController()

  open(method: string, url: string): void {
    this.request = { method, url }
  }

  getAllResponseHeaders(): string {
    return [...(this.headers ?? [])].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  }

  abort(): void {
    this.controller.abort()
  }

  send(form: FormData): void {
    void this.run(form)
  }

  private async run(form: FormData): Promise<void> {
    const encoded = new Response(form)
    const body = await encoded.arrayBuffer()
    try {
      const progress = { loaded: body.byteLength, total: body.byteLength, lengthComputable: true }
      this.upload.dispatchEvent(Object.assign(new Event('progress'), progress))
      const response = await fetch(this.request!.url, {
        method: this.request!.method,
        headers: { 'content-type': encoded.headers.get('content-type')! },
        body,
        signal: this.controller.signal,
      })
      this.responseText = await response.text()
      this.status = response.status
      this.headers = response.headers
      this.dispatchEvent(new Event('load'))
      this.onload?.()
    } catch {
      this.dispatchEvent(new Event(this.controller.signal.aborted ? 'abort' : 'error'))
      this.onerror?.()
    }
    this.dispatchEvent(new Event('loadend'))
  }
}
