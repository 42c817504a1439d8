/** What all guests of a comparison boot: Debian's kernel and one ramdisk with busybox and the bench's programs, for their architecture. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../../src/toolstack/guest-files/apt.ts';
import { guestFiles, type GuestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { noteSteps } from '../guest/note-steps.ts';
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

const images = new Map<Architecture, Promise<GuestFiles>>();

export function guestImage(architecture: Architecture, note: (text: string) => void): Promise<GuestFiles> {
  const made = images.get(architecture) ?? makeImage(architecture, note);
  images.set(architecture, made);
  return made;
}

async function makeImage(architecture: Architecture, note: (text: string) => void): Promise<GuestFiles> {
  const folder = await builtPrograms(architecture);
  const programs = readdirSync(folder).filter((name) => !name.includes('.'));
  return guestFiles({
    package: kernels[architecture],
    architecture,
    extraFiles: Object.fromEntries(
      programs.map((name) => [`${PROGRAMS}/${name}`, { content: readFileSync(join(folder, name)), executable: true }]),
    ),
    onProgress: noteSteps(note),
  });
}
