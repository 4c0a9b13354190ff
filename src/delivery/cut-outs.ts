import type { Extensions } from '../extensions/extensions.ts'
import { TintypeError } from '../kernel/errors.ts'
import type { ModelProvider } from '../transform/transform.ts'

/**
 * Lets whoever removes backgrounds of uploads do it for URLs too (`e-bgremove`, `e-removedotbg`).
 * @returns nothing where no one is set up to.
 */
export function createCutOuts(extensions: Pick<Extensions, 'isConfigured' | 'run'>): ModelProvider[] {
  if (!extensions.isConfigured('remove-bg')) return []
  return [
    {
      id: 'extension:remove-bg',
      operations: ['bgremove', 'removedotbg'],
      async run({ image, signal }) {
        const result = await extensions.run(
          { name: 'remove-bg' },
          {
            fileType: 'image',
            mime: 'image/png',
            sizeBytes: image.length,
            read: async () => image,
            async preview() {
              throw new TintypeError('too-large', 'The image is too large for the removal of its background.')
            },
            fields: [],
          },
          signal,
        )
        if (result.kind !== 'file') {
          throw new TintypeError('internal', 'The removal of the background gave no picture.')
        }
        return { kind: 'image', bytes: result.bytes }
      },
    },
  ]
}
