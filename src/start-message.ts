import type { Config } from './config/config.ts'
import type { Account } from './library/library.ts'

/** What a person reads when the server is ready; keys are shown once, when they are made. */
export function describeStart(options: { url: string; config: Config; account: Account }): string {
  const { config, account } = options
  const base = config.http.publicUrl?.replace(/\/+$/, '') ?? options.url.replace('0.0.0.0', 'localhost')
  const lines = [
    '',
    '  Tintype is ready.',
    '',
    `    API           ${base}`,
    `    URL endpoint  ${base}/${account.id}`,
    `    Data          ${config.dataDir}`,
  ]
  const { created } = account
  if (created) {
    lines.push(
      '',
      '  Your keys, shown this once. The private key stays on your servers.',
      '',
      `    public key    ${created.publicKey}`,
      `    private key   ${created.privateKey}`,
      '',
      '  Upload a first picture:',
      '',
      `    curl -u ${created.privateKey}: -F file=@photo.jpg -F fileName=photo.jpg ${base}/api/v1/files/upload`,
    )
  }
  return `${lines.join('\n')}\n\n`
}
