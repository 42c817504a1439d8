/** Something that runs the workloads of a comparison: Xenolith, another emulator, or the host itself. */
import type { Printed } from '../guest/console-text.ts';

export const peerNames = ['xenolith', 'qemu', 'xen', 'v86', 'native'] as const;
export type PeerName = (typeof peerNames)[number];

export type Note = (text: string) => void;

/**
 * What a machine has beside processor and memory: nothing, a disk, or a network with the host's end of it and a second guest. Each is a machine of its
 * own, as an idle device or guest would take something from what is measured without it.
 */
export const equipments = ['bare', 'disk', 'network'] as const;
export type Equipment = (typeof equipments)[number];

export interface Peer {
  readonly name: PeerName;
  /** As tables call it. */
  readonly title: string;
  /** What it is, and how it is run, in one line for a person. */
  readonly about: string;
  /** What its machines can have; it takes no part in workloads that want something else. */
  readonly equipment: readonly Equipment[];
  /** A machine that waits for commands. Throws when it cannot be had; a XenError's hint then says which package brings it. */
  start(note: Note, equipment: Equipment): Promise<Machine>;
}

export interface Machine {
  /** Seconds from the start to the kernel's "Run /init"; undefined where nothing boots. */
  readonly init: number | undefined;
  /**
   * Runs a shell command in which $B is the folder with the programs and $X busybox; $D is the disk; $H, $G and $F are an address and a port, with a blank
   * between: at which the host's end serves, at which the second guest serves, and at which the host's end reaches this guest's PORT_OF_GUEST.
   */
  run(command: string, patienceMs: number): Promise<Run>;
  /** Ends it, whatever state it is in. */
  stop(): Promise<void>;
}

export interface Run {
  readonly printed: Printed;
  /** Of the time that it took, the part that the peer's vCPU was on a processor; undefined where that is not known. */
  readonly share: number | undefined;
}
