/** Something that runs the workloads of a comparison: Xenolith, another emulator, or the host itself. */
import type { Printed } from '../guest/console-text.ts';

export const peerNames = ['xenolith', 'qemu', 'xen', 'v86', 'native'] as const;
export type PeerName = (typeof peerNames)[number];

export type Note = (text: string) => void;

export interface Peer {
  readonly name: PeerName;
  /** As tables call it. */
  readonly title: string;
  /** What it is, and how it is run, in one line for a person. */
  readonly about: string;
  /** A machine that waits for commands. Throws when it cannot be had; a XenError's hint then says which package brings it. */
  start(note: Note): Promise<Machine>;
}

export interface Machine {
  /** Seconds from the start to the kernel's "Run /init"; undefined where nothing boots. */
  readonly init: number | undefined;
  /** Runs a shell command in which $B is the folder with the programs and $X busybox. */
  run(command: string, patienceMs: number): Promise<Run>;
  /** Ends it, whatever state it is in. */
  stop(): Promise<void>;
}

export interface Run {
  readonly printed: Printed;
  /** Of the time that it took, the part that the peer's vCPU was on a processor; undefined where that is not known. */
  readonly share: number | undefined;
}
