/** Looks for the configuration of a bootloader on a file system. */
import { BootFailure } from './boot-failure.ts';
import type { FileSystem } from './filesystem/file-system.ts';
import type { BootMenu, MenuFiles } from './menu/boot-menu.ts';
import { readExtlinuxMenu } from './menu/extlinux.ts';
import { readLegacyMenu } from './menu/grub-legacy.ts';
import { readGrubMenu } from './menu/grub-menu.ts';
import { loaderEntries } from './menu/loader-entries.ts';

/** pygrub's FS_READ_MAX. */
const MAX_CONFIGURATION = 1 << 20;

type Reader = (text: string, path: string, files: MenuFiles) => BootMenu | Promise<BootMenu>;

/** In the order in which pygrub looks; what it does not know comes after each kind. */
const configurations: readonly (readonly [Reader, readonly string[]])[] = [
  [readGrubMenu, ['/boot/grub/grub.cfg', '/grub/grub.cfg', '/boot/grub2/grub.cfg', '/grub2/grub.cfg']],
  [
    readExtlinuxMenu,
    [
      '/boot/isolinux/isolinux.cfg',
      '/boot/extlinux.conf',
      '/boot/extlinux/extlinux.conf',
      '/extlinux/extlinux.conf',
      '/extlinux.conf',
      '/boot/syslinux/syslinux.cfg',
      '/syslinux/syslinux.cfg',
      '/syslinux.cfg',
      '/isolinux/isolinux.cfg',
    ],
  ],
  [readLegacyMenu, ['/boot/grub/menu.lst', '/boot/grub/grub.conf', '/grub/menu.lst', '/grub/grub.conf']],
];

export interface FoundMenu extends BootMenu {
  readonly path: string;
}

/** Undefined where there is none. Throws BootFailure for one that cannot be read. */
export async function findMenu(fs: FileSystem): Promise<FoundMenu | undefined> {
  const files = menuFiles(fs);
  for (const [read, paths] of configurations) {
    for (const path of paths) {
      const text = await files.readText(path);
      if (text === undefined) continue;
      const menu = await read(text, path, files);
      if (menu.entries.some(({ kernel }) => kernel !== undefined)) return { ...menu, path };
    }
  }
  const bare = await loaderEntries(files, (text) => text);
  if (bare.length === 0) return undefined;
  return { path: 'loader/entries', entries: bare.map(({ entry }) => entry), defaultEntry: 0 };
}

function menuFiles(fs: FileSystem): MenuFiles {
  return {
    exists: (path) => fs.exists(path),
    names: (path) => fs.names(path),
    async readText(path) {
      try {
        const bytes = await fs.readFile(path, MAX_CONFIGURATION);
        return bytes === undefined ? undefined : Buffer.from(bytes).toString();
      } catch (error) {
        // A directory of that name, say, does not keep the others from being found.
        if (error instanceof BootFailure) return undefined;
        throw error;
      }
    },
  };
}
