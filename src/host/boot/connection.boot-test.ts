/** A guest that moves between two hosts and goes through files under load: what it has written is there, and its TCP connection goes on. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { beginWork, busyConfig, checkWork } from '../testing/busy-guest.ts';
import { CountingPeer } from '../testing/counting-peer.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { makeBridge } from '../testing/host-bridge.ts';
import { Machine, until } from '../testing/machine.ts';

const xl = join(fileURLToPath(new URL('../../..', import.meta.url)), 'bin/xl');
/** By hand: XENOLITH_MIGRATIONS=50, XENOLITH_SAVE_CYCLES=50. */
const MIGRATIONS = Number(process.env['XENOLITH_MIGRATIONS'] ?? 1);
const CYCLES = Number(process.env['XENOLITH_SAVE_CYCLES'] ?? 1);

const bridge = makeBridge();
const network = typeof bridge === 'string' ? { name: '', address: '0.0.0.0', remove: () => undefined } : bridge;
const skip = typeof bridge === 'string' ? bridge : false;

describe('a guest with a TCP connection', { skip }, () => {
  const folder = new Machine();
  const config = folder.path('network.cfg');
  const env = { XENOLITH_NETWORK_CONFIG: config };
  const machines: readonly [Machine, Machine] = [new Machine(env), new Machine(env)];
  let peer: CountingPeer;
  let guest: GuestTerminal;
  let at = 0;
  const here = (): Machine => machines[at % 2] ?? machines[0];
  const there = (): Machine => machines[(at + 1) % 2] ?? machines[1];

  before(async () => {
    writeFileSync(config, `bridge = [ "name=${network.name},host=1" ]\n`);
    peer = await CountingPeer.listen(network.address);
    // Taps of both daemons are in one host, and named after the domain's number: here numbers are never the same at a time.
    const early = machines[1].config({
      ...(await busyConfig('early', folder.path('early.img'), 0)),
      disk: [],
      vif: [],
    });
    for (let i = 0; i < 2; i++) {
      await machines[1].ok('create', '-q', '-p', early);
      await machines[1].ok('destroy', 'early');
    }
    const vif = [`bridge=${network.name}`];
    guest = await machines[0].boot(await busyConfig('talker', folder.path('disk.img'), MIGRATIONS + CYCLES, vif));
    await beginWork(guest);
    await guest.run(`ifconfig eth0 ${network.address.replace(/\.1$/, '.2')} netmask 255.255.255.0 up`);
    const line = '$n 0123456789012345678901234567890123456789012345678901234567890123456789';
    await guest.run(
      `(n=0; while :; do n=$((n + 1)); echo "${line}"; [ $((n % 20)) = 0 ] && usleep 50000; done) | nc ${network.address} ${peer.port} > /tmp/echo &`,
    );
    await until('the connection', () => Promise.resolve(peer.count > 0));
  });
  after(async () => {
    peer.close();
    await Promise.all([...machines, folder].map((machine) => machine.close()));
    network.remove();
  });

  async function check(): Promise<void> {
    guest = here().console('talker');
    await checkWork(guest);
    const { count } = peer;
    await until('more of the connection', () => Promise.resolve(peer.count > count || peer.fault !== undefined));
    // What came back is whole, too: as many lines as the last one says.
    const [lines, last] = (
      await guest.run('head -n -1 /tmp/echo > /tmp/whole; wc -l < /tmp/whole; tail -n 1 /tmp/whole')
    ).split('\n');
    assert.equal(Number(lines), Number(last));
    assert.deepEqual([peer.fault, peer.connections], [undefined, 1]);
    await guest.leave();
  }

  it(`keeps it while it moves ${MIGRATIONS} times`, async () => {
    for (let i = 0; i < MIGRATIONS; i++) {
      const { code, err } = await here().xl(
        'migrate',
        '-s',
        '',
        'talker',
        `env XENOLITH_RUN_DIR=${there().run} XENOLITH_NETWORK_CONFIG=${config} ${xl} migrate-receive`,
      );
      assert.equal(code, 0, err);
      at++;
      await check();
    }
  });

  it(`keeps it while it is saved and restored ${CYCLES} times`, async () => {
    const file = folder.path('talker.save');
    for (let i = 0; i < CYCLES; i++) {
      await here().ok('save', 'talker', file);
      await here().ok('restore', file);
      await check();
    }
    assert.equal(
      await here().console('talker').run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true'),
      '0',
    );
  });
});
