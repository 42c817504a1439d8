/** Some guests' lives, in a random order that is the same each time: see src/host/testing/life. `npm run life` does the same at length, in another order each time. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { guestFiles } from '../../toolstack/guest-files/guest-files.ts';
import { live } from '../testing/life/life.ts';
import { Machine } from '../testing/machine.ts';

/** No command begins after that. */
const milliseconds = 20_000;

describe('the life of a guest', () => {
  const machine = new Machine();
  after(() => machine.close());

  it('is what xl, xenstore and the guest itself agree on, whatever is done to it', async () => {
    const files = await guestFiles();
    const count = await live(machine, { files, keys: ['a'], seed: 7, milliseconds, say: () => undefined });
    assert(count > 0);
  });
});
