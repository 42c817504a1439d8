import { rmSync, writeFileSync } from 'node:fs';
import { median } from '../guest/boots.ts';
import { atRest, threadTimes } from '../guest/thread-times.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { JsonObject } from '../../src/toolstack/config/json.ts';
import { configFromJson } from '../../src/toolstack/config/domain-config.ts';
import type { Row } from '../row.ts';

const MEMORY_MIB = 1024;
/** What the guest has written to: the rest of its memory is zero, and an image leaves that out. */
const FILLED_MIB = 640;
const PIECE_MIB = 8;
const ROUNDS = 5;

/** Milliseconds from the request until the guest has executed instructions. The image is in the page cache. */
async function restores(note: (text: string) => void): Promise<number> {
  const xenolith = await Xenolith.start(note, { memory: MEMORY_MIB });
  const path = xenolith.path('guest.save');
  try {
    const { daemon, pid } = xenolith;
    const guest = await xenolith.create();
    await guest.shell();
    note(`${FILLED_MIB} MiB of files in the guest's memory`);
    const pieces = FILLED_MIB / PIECE_MIB;
    await guest.run(`yes | head -c ${PIECE_MIB << 20} > /a; for n in $(seq ${pieces}); do cat /a; done > /filled`);
    const stored = (await daemon.call('configs', { domid: guest.domid })).configs[0]?.['config'] ?? null;
    const config = configFromJson(stored);
    if (config === undefined) throw new Error('the guest has no configuration');
    note('saved');
    writeFileSync(path, '');
    await daemon.call('save', { domid: guest.domid, path, offset: 0, after: 'destroy' });
    const times: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      await atRest(pid);
      const before = threadTimes(pid)?.get(String(pid)) ?? NaN;
      const from = performance.now();
      const how = { config: config as unknown as JsonObject, path, offset: 0, paused: false, monitor: false };
      const { domid } = await daemon.call('restore', { ...how, foreground: false });
      for (let begun = false; !begun;)
        begun = (await daemon.call('vcpus', { domids: [domid] })).vcpus.some((vcpu) => vcpu.instructions > 0);
      times.push(performance.now() - from);
      const busy = (threadTimes(pid)?.get(String(pid)) ?? NaN) - before;
      note(
        `${round} of ${ROUNDS}: ${times.at(-1)?.toFixed(0)} ms, ${(busy * 1000).toFixed(0)} of them the main thread's`,
      );
      const restored = await xenolith.attached(domid);
      await restored.run('cmp -n 4096 /filled /filled');
      await restored.destroy();
    }
    return median(times);
  } finally {
    await xenolith.close();
    rmSync(path, { force: true });
  }
}

export const row: Row = {
  name: 'restore.lazy.1g',
  about: `the daemon's work for xl restore of a guest of ${MEMORY_MIB} MiB, ${FILLED_MIB} of them in use, until it has executed instructions: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 100,
  // Firecracker maps the file as we do; its figure is what is told of the call that loads it, on a server with KVM.
  peers: {
    'Firecracker (as published)': 4,
    'LightVM (of its paper), a small guest': 20,
    'Xen, small guest (of the same paper)': 550,
  },
  measure: restores,
};
