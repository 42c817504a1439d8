/** Everything that workloads can run on. */
import { native } from './native.ts';
import type { Peer, PeerName } from './peer.ts';
import { qemu } from './qemu.ts';
import { xenolith } from './xenolith.ts';

export const peers: readonly Peer[] = [xenolith, qemu, native];

/** What the bench compares with unless it is told otherwise. */
export const defaultPeers: readonly PeerName[] = ['qemu', 'native'];
