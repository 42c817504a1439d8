/** What a root image can be asked to be, and what it is when nobody asks. */
import { GuestFilesError } from '../guest-files/guest-files-error.ts';

export type PartitionTable = 'none' | 'mbr';

export interface RootImageOptions {
  /** Of the disk; its file takes only what is used. */
  readonly sizeMiB: number;
  readonly hostname: string;
  /** A kernel package, or one that stands for one. */
  readonly kernel: string;
  /** Packages beside those that every image has. */
  readonly packages: readonly string[];
  /** Lines of /root/.ssh/authorized_keys. */
  readonly sshKeys: readonly string[];
  /** Undefined: nobody can log in by password, and the console, which only the guest's owner reaches, asks for none. */
  readonly rootPassword: string | undefined;
  /** `none`: the file system is the whole disk, and grows with it at the next boot. */
  readonly partitionTable: PartitionTable;
}

export const defaultOptions: RootImageOptions = {
  sizeMiB: 2048,
  hostname: 'debian',
  kernel: 'linux-image-cloud-amd64',
  packages: [],
  sshKeys: [],
  rootPassword: undefined,
  partitionTable: 'none',
};

/** Holds the packages with room to work. */
const LEAST_MIB = 768;
const MOST_MIB = 1 << 20;

/** Throws GuestFilesError for what cannot be. All of it ends up in files that programs read. */
export function checkOptions(options: RootImageOptions): void {
  const { sizeMiB, hostname, kernel, packages, sshKeys, rootPassword } = options;
  if (!Number.isInteger(sizeMiB) || sizeMiB < LEAST_MIB || sizeMiB > MOST_MIB)
    throw new GuestFilesError(`the size is a number of MiB from ${LEAST_MIB} to ${MOST_MIB}`);
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(hostname))
    throw new GuestFilesError(`${JSON.stringify(hostname)} is not a host name`);
  for (const name of [kernel, ...packages]) {
    if (!/^[a-z0-9][a-z0-9.+-]*$/.test(name)) throw new GuestFilesError(`${name} is not the name of a package`);
  }
  for (const key of sshKeys) {
    if (!/^[a-z][a-z0-9@.-]+ AAAA[A-Za-z0-9+/=]+( [^\n]*)?$/.test(key))
      throw new GuestFilesError(`not a public key of OpenSSH: ${key.slice(0, 40)}`);
  }
  if (rootPassword !== undefined && (rootPassword === '' || /[\n\r\0]/.test(rootPassword)))
    throw new GuestFilesError('the password of root is empty or has a line end in it');
}
