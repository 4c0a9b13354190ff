import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A small ext4 file system on a loop device. */
export type Disk = {
  /** Where it is mounted. */
  path: string
  /** Drops at once everything that was not synced, as a power cut does; every access fails from then on. */
  cutPower(): Promise<void>
  /** Mounts it again, after a power cut or with other options. */
  remount(options?: string): Promise<void>
  remove(): Promise<void>
}

/** Why disks cannot be made here; empty when they can. */
export const whyNoDisk = findObstacle()

function findObstacle(): string {
  if (process.env.MKFS_EXT4_PATH === undefined) return 'mkfs.ext4 is missing'
  if (process.getuid?.() !== 0) return 'mounting needs root'
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' })
    execFileSync('python3', ['-c', ''], { stdio: 'ignore' })
    return ''
  } catch (error) {
    return `no loop device, or no python3 to cut the power: ${(error as Error).message.split('\n')[0]}`
  }
}

/** @param mkfs further arguments of mkfs.ext4, such as a number of inodes. */
export async function createDisk(sizeMib: number, mkfs: string[] = []): Promise<Disk> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-disk-'))
  const image = join(folder, 'image')
  const path = join(folder, 'mount')
  await run('truncate', ['-s', `${sizeMib}M`, image])
  await run(process.env.MKFS_EXT4_PATH!, ['-q', '-m', '0', ...mkfs, image])
  await run('mkdir', [path])
  const mount = (options: string) => run('mount', ['-o', options, image, path])
  const unmount = async () => {
    // Whoever was killed may hold it for a moment.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await run('umount', [path])
        return
      } catch (error) {
        if (attempt === 100) throw error
        await sleep(20)
      }
    }
  }
  await mount('loop')
  let mounted = true
  return {
    path,
    async cutPower() {
      // EXT4_IOC_SHUTDOWN with NOLOGFLUSH: not even the journal is written (include/uapi/linux/ext4.h).
      const script =
        'import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack("I", 2))'
      await run('python3', ['-c', script, path])
    },
    async remount(options = '') {
      await unmount()
      mounted = false
      await mount(['loop', options].filter(Boolean).join(','))
      mounted = true
    },
    async remove() {
      if (mounted) await unmount().catch(() => run('umount', ['--lazy', path]))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
