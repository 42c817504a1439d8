/** A real guest that moves between two hosts while it works; and what is left of it when one of them fails. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { beginWork, busyConfig, checkWork } from '../testing/busy-guest.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

const xl = join(fileURLToPath(new URL('../../..', import.meta.url)), 'bin/xl');
/** By hand: XENOLITH_MIGRATIONS=50. */
const MIGRATIONS = Number(process.env['XENOLITH_MIGRATIONS'] ?? 1);

describe('xl migrate', () => {
  const machines: readonly [Machine, Machine] = [new Machine(), new Machine()];
  /** Where the guest is. */
  let at = 0;
  let guest: GuestTerminal;
  const here = (): Machine => machines[at % 2] ?? machines[0];
  const there = (): Machine => machines[(at + 1) % 2] ?? machines[1];
  const receiver = (): string => `env XENOLITH_RUN_DIR=${there().run} ${xl} migrate-receive`;

  before(async () => {
    guest = await machines[0].boot(await busyConfig('nomad', machines[0].path('disk.img'), MIGRATIONS + 10));
    await beginWork(guest);
    await guest.run('ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up');
  });
  after(() => Promise.all(machines.map((machine) => machine.close())));

  async function check(): Promise<void> {
    await checkWork(guest);
    // Its interface may still be coming back.
    await guest.retry('ping -c 1 -W 2 10.0.2.2');
  }

  async function move(): Promise<string> {
    const { code, err } = await here().xl('migrate', '-s', '', 'nomad', receiver());
    assert.equal(code, 0, err);
    assert.equal(await here().state('nomad'), undefined);
    at++;
    guest = here().console('nomad');
    return err;
  }

  it('moves a guest that works, in the words that scripts know', async () => {
    const err = await move();
    for (const line of [
      /^migration target: Ready to receive domain\.$/m,
      /^Saving to migration stream new xl format \(info 0x3\/0x0\/\d+\)$/m,
      /^Loading new save file <incoming migration stream> \(new xl fmt info 0x3\/0x0\/\d+\)$/m,
      /^migration target: Transfer complete, requesting permission to start domain\.$/m,
      /^migration sender: Target has acknowledged transfer\.$/m,
      /^migration sender: Giving target permission to start\.$/m,
      /^migration target: Domain started successsfully\.$/m,
      /^migration sender: Target reports successful startup\.$/m,
      /^migration sender: \d+ passes, \d+ pages, [\d.]+ s in all, stopped for \d+ ms$/m,
      /^Migration successful\.$/m,
    ])
      assert.match(err, line);
    await check();
  });

  it(`moves on, ${MIGRATIONS} times`, async () => {
    for (let i = 0; i < MIGRATIONS; i++) {
      await move();
      await check();
    }
    assert.equal(await guest.run('dmesg | grep -cE "BUG:|Oops:|soft lockup|self-detected stall" || true'), '0');
  });

  const failures = [
    { what: 'a receiver that does not exist', rune: () => 'false', says: /no banner from the receiver/ },
    {
      what: 'a receiver that says something else',
      rune: () => 'echo this is no xl; cat > /dev/null',
      says: /unexpected data instead of banner/,
    },
    {
      what: 'a receiver that ends at once',
      rune: () => `${receiver()} < /dev/null`,
      says: /Migration failed, resuming at sender|no ready message/,
    },
    {
      what: 'a stream that is cut off',
      rune: () => `head -c 30000000 | ${receiver()}`,
      says: /Migration failed, resuming at sender/,
    },
  ];
  for (const { what, rune, says } of failures) {
    it(`stays where it is with ${what}`, async () => {
      const { code, err } = await here().xl('migrate', '-s', '', 'nomad', rune());
      assert.equal(code, 1, err);
      assert.match(err, says);
      await until('one guest', async () => (await here().state('nomad'))?.state.includes('p') === false);
      await until('no copy', async () => (await there().list()).length === 1);
      await check();
    });
  }
});
