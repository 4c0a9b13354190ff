import { open } from 'node:fs/promises'

/**
 * Syncs folders, so that the names in them survive a power cut. Callers that ask for a folder while a sync of it
 * runs share the next one: the running one may have begun before their rename.
 */
export function createFolderSync(): (folder: string) => Promise<void> {
  const states = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>()

  async function sync(folder: string) {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  function start(folder: string): Promise<void> {
    const running = sync(folder)
    const state = { running, next: undefined }
    states.set(folder, state)
    const end = () => {
      if (states.get(folder) === state) states.delete(folder)
    }
    running.then(end, end)
    return running
  }

  return (folder) => {
    const state = states.get(folder)
    if (!state) return start(folder)
    // Whether the running one fails says nothing of the next one.
    state.next ??= state.running.catch(() => {}).then(() => start(folder))
    return state.next
  }
}
