/** Everything that workloads can run on. */
import { native } from './native.ts';
import type { Peer, PeerName } from './peer.ts';
import { qemu } from './qemu.ts';
import { v86 } from './v86.ts';
import { xen } from './xen.ts';
import { xenolith } from './xenolith.ts';

export const peers: readonly Peer[] = [xenolith, qemu, xen, v86, native];

/** What the bench compares with unless it is told otherwise. */
export const defaultPeers: readonly PeerName[] = ['qemu', 'v86', 'native'];
