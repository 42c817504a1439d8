/** A whole Debian that a program boots from a disk of its own. The disk is built when the cache has none. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { GuestFilesError } from '../../toolstack/guest-files/guest-files-error.ts';
import { namespaceOptions } from '../../toolstack/root-image/namespaces.ts';
import { Host, images, sandbox } from '../node/xenolith.ts';
import { debianPatience } from '../testing/machine.ts';

/** Undefined where a disk can be made. */
async function whyNot(): Promise<string | undefined> {
  try {
    await namespaceOptions();
    return undefined;
  } catch (error) {
    if (error instanceof GuestFilesError) return error.message;
    throw error;
  }
}

describe('Debian in a program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-debian-'));
  const disk = join(folder, 'debian.qcow2');
  after(() => rmSync(folder, { recursive: true }));

  it('boots from its disk', async (t) => {
    const cannot = await whyNot();
    if (cannot !== undefined) return t.skip(cannot);
    const steps: string[] = [];
    const debian = await images.debian({ disk, onProgress: ({ step }) => steps.push(step) });
    assert.ok(existsSync(disk));
    assert.ok(steps.includes(`copying the disk to ${disk}`));
    const signal = AbortSignal.timeout(debianPatience);
    await using host = await Host.open();
    // What a program runs in it does not need the network.
    const config = { ...debian, network: sandbox.network, name: 'debian' } as const;
    await using guest = await host.create(config);
    assert.deepEqual(
      guest.disks.list().map(({ vdev, target, format }) => [vdev, target, format]),
      [['xvda', disk, 'qcow2']],
    );
    // What it does when it is up is tested with `npm start`, and what a program can do to a guest with a smaller one.
    await guest.console.waitFor(/Linux version .*Debian/, { signal });
    await guest.destroy();
    // The disk that is there is left as it is.
    const { mtimeMs } = statSync(disk);
    await images.debian({ disk });
    assert.equal(statSync(disk).mtimeMs, mtimeMs);
  });
});
