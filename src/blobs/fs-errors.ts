import { TintypeError } from '../kernel/errors.ts'

/** What the file system said, in the words of the contract; anything that is ours already stays as it is. */
export function fileSystemError(cause: unknown): TintypeError {
  if (cause instanceof TintypeError) return cause
  switch ((cause as NodeJS.ErrnoException | undefined)?.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new TintypeError('no-space', 'The server has no space left to store the file.', { cause })
    case 'ENOENT':
      return new TintypeError('not-found', 'The file could not be found in storage.', { cause })
    case 'EMFILE':
    case 'ENFILE':
      return new TintypeError('unavailable', 'The server is busy. Please try again later.', {
        headers: { 'retry-after': '1' },
        cause,
      })
    default:
      return new TintypeError('internal', 'The server could not access its storage.', { cause })
  }
}
