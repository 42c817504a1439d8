/** What all guests of a comparison boot: Debian's kernel and one ramdisk with busybox and the bench's programs, for their architecture. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../../src/toolstack/guest-files/apt.ts';
import { guestFiles, type GuestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { noteSteps } from '../guest/note-steps.ts';
import { driverFiles, executable, startScript, virtioDrivers } from './guest-devices.ts';
import { builtPrograms } from './programs.ts';

/** 256 MB of which random reads are made, and what a small Linux wants beside them. */
export const MEMORY_MIB = 512;

/** Where the programs are in a guest. */
export const PROGRAMS = '/bench';

/** v86 has no 64-bit mode. Debian's i386 kernel without PAE is the smaller one of two. */
const kernels: Readonly<Record<Architecture, string>> = {
  amd64: 'linux-image-cloud-amd64',
  i386: 'linux-image-686',
};

/** What disks and networks are tried with; there are no such machines of other architectures. */
const devicePrograms = ['block', 'network'].map((folder) => join(import.meta.dirname, '..', folder, 'programs'));

const images = new Map<Architecture, Promise<GuestFiles>>();

export function guestImage(architecture: Architecture, note: (text: string) => void): Promise<GuestFiles> {
  const made = images.get(architecture) ?? makeImage(architecture, note);
  images.set(architecture, made);
  return made;
}

async function makeImage(architecture: Architecture, note: (text: string) => void): Promise<GuestFiles> {
  const device = architecture === 'amd64';
  const folders = [await builtPrograms(architecture)];
  if (device) for (const sources of devicePrograms) folders.push(await builtPrograms(architecture, undefined, sources));
  const programs = folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => !name.includes('.'))
      .map((name) => [`${PROGRAMS}/${name}`, executable(readFileSync(join(folder, name)))] as const),
  );
  const image = { package: kernels[architecture], architecture, onProgress: noteSteps(note) };
  if (!device) return guestFiles({ ...image, extraFiles: Object.fromEntries(programs) });
  const { release } = await guestFiles(image);
  return guestFiles({
    ...image,
    extraFiles: {
      ...Object.fromEntries(programs),
      ...(await driverFiles(release, virtioDrivers, note)),
      ...startScript,
    },
  });
}
