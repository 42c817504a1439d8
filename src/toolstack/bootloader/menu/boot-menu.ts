/** What every kind of bootloader configuration comes to. */
export interface BootEntry {
  readonly title: string;
  /** Undefined for an entry that starts something else than a Linux kernel, such as another bootloader. */
  readonly kernel: string | undefined;
  /** They are unpacked over each other, in this order. */
  readonly ramdisks: readonly string[];
  readonly args: string;
}

export interface BootMenu {
  /** Submenus are laid out flat, as pygrub numbers them. */
  readonly entries: readonly BootEntry[];
  readonly defaultEntry: number;
}

/** Files that a configuration names, on the file system that it lies on. */
export interface MenuFiles {
  exists(path: string): Promise<boolean>;
  /** A file that is no longer than a configuration may be. */
  readText(path: string): Promise<string | undefined>;
  names(path: string): Promise<string[]>;
}

export const MAX_ENTRIES = 256;
/** Configurations that include each other. */
export const MAX_INCLUDED = 16;

/** Without the device in front: `(hd0,msdos1)/vmlinuz`. pygrub, too, takes it for the file system with the configuration. */
export function plainPath(path: string): string {
  return path.replace(/^\([^)]*\)/, '');
}
