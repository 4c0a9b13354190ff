import { toFile } from '@imagekit/nodejs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { png } from '../support/images.ts'
import { startModelServer } from '../support/providers/model-server.ts'
import { type Service, startService } from '../support/providers/service.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
let models: Service
let receiver: Service

beforeAll(async () => {
  models = await startModelServer({
    tags: { tags: [{ name: 'cat', confidence: 97.5 }] },
    description: { description: 'A cat.' },
    'cut-out': png(2, 2),
  })
  receiver = await startService(() => ({ status: 200 }))
  server = await startServer({
    env: { TINTYPE_ALLOW_PRIVATE_NETWORK: 'true', TINTYPE_AI_HTTP_URL: models.url },
  })
})
afterAll(async () => {
  await server.dispose()
  await models.close()
  await receiver.close()
})

const CAT = [{ name: 'cat', confidence: 97.5, source: 'aws-auto-tagging' }]
const tagging = { name: 'aws-auto-tagging' as const, minConfidence: 80, maxTags: 5 }

test('the current SDK uploads and updates with extensions', async () => {
  const ik = sdk7(server)
  const file = await ik.files.upload({
    file: await toFile(png(3, 3), 'cat.png'),
    fileName: 'cat.png',
    extensions: [tagging, { name: 'ai-auto-description' }],
    transformation: { pre: 'w-6', post: [{ type: 'transformation', value: 'w-2' }] },
    webhookUrl: `${receiver.url}/done`,
  })
  expect(file).toMatchObject({
    AITags: CAT,
    width: 6,
    extensionStatus: { 'aws-auto-tagging': 'success', 'ai-auto-description': 'pending' },
  })
  await expect
    .poll(async () => ik.files.get(file.fileId!), { timeout: 10_000 })
    .toMatchObject({ description: 'A cat.', AITags: CAT })

  const updated = await ik.files.update(file.fileId!, {
    removeAITags: 'all',
    extensions: [{ name: 'remove-bg', options: { bg_color: 'red' } }],
    webhookUrl: `${receiver.url}/done`,
  })
  expect(updated).toMatchObject({ AITags: null, extensionStatus: { 'remove-bg': 'pending' } })
  await expect
    .poll(async () => ik.files.versions.list(file.fileId!), { timeout: 10_000 })
    .toMatchObject([{ versionInfo: { name: 'Version 2' } }, { versionInfo: { name: 'Version 1' } }])
  await expect
    .poll(() => receiver.requests.map(({ body }) => JSON.parse(body.toString('utf8')).service))
    .toEqual(['ai-auto-description', 'remove-bg'])
})

test('so does the legacy SDK', async () => {
  const ik = sdk6(server)
  const file = await ik.upload({ file: png(3, 3), fileName: 'old.png', extensions: [tagging] })
  expect(file).toMatchObject({ AITags: CAT, extensionStatus: { 'aws-auto-tagging': 'success' } })
  const updated = await ik.updateFileDetails(file.fileId, { extensions: [tagging] })
  expect(updated).toMatchObject({ AITags: CAT, extensionStatus: { 'aws-auto-tagging': 'success' } })
})
