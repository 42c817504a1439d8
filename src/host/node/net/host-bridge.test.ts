/** Taps in a real bridge of the host, where whoever runs the tests may make one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { LinkEnd } from '../../../dom0/net/link.ts';
import { NetGuest } from '../../../dom0/testing/net-guest.ts';
import { parseMac } from '../../../dom0/net/packet/addresses.ts';
import { hostBridge } from './host-bridge.ts';
import { nodeTimers } from './timers.ts';

const name = `xl-t${process.pid % 100_000}`;
const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

function mayMakeBridges(): boolean {
  try {
    if (!existsSync('/dev/net/tun')) return false;
    ip('link', 'add', name, 'type', 'bridge');
    return true;
  } catch {
    return false;
  }
}

const may = mayMakeBridges();

describe("a bridge of the host's", { skip: !may && 'only who may make bridges can test this' }, () => {
  const guests: NetGuest[] = [];
  const ends: LinkEnd[] = [];

  before(() => {
    ip('link', 'set', name, 'up');
    const bridge = hostBridge(name, (error) => assert.fail(error)) ?? assert.fail();
    for (const n of [1, 2]) {
      const [end, other] = LinkEnd.pair();
      assert.equal(bridge.plug(other, { name: `${name}.${n}` }), undefined);
      const mac = `00:16:3e:00:00:0${n}`;
      const peer = parseMac(`00:16:3e:00:00:0${3 - n}`) ?? assert.fail();
      guests.push(new NetGuest(end, nodeTimers, mac, `10.9.9.${n}`, peer));
      ends.push(end);
    }
  });
  after(() => {
    if (may) ip('link', 'del', name);
    for (const end of ends) end.close();
  });

  it('has a tap for each vif, set up as vif-bridge does', () => {
    const shown = ip('-o', 'link', 'show', 'master', name);
    assert.equal(shown.trim().split('\n').length, 2);
    assert.match(shown, /link\/ether fe:ff:ff:ff:ff:ff/);
  });

  it('carries datagrams and large segments between them', async () => {
    const [one, two] = guests as [NetGuest, NetGuest];
    for (let i = 0; two.datagrams.length === 0 && i < 2000; i++) {
      one.sendUdp('10.9.9.2', 7, 7, Buffer.from('hello'));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(Buffer.from(two.datagrams[0]?.data ?? []).toString(), 'hello');
    const received = Promise.withResolvers<void>();
    let length = 0;
    const user = {
      established: () => undefined,
      room: () => 500_000,
      peerEnded: () => undefined,
      drained: () => undefined,
      ended: () => undefined,
      gone: () => undefined,
      data: () => undefined,
    };
    two.listen(80, (accept) => {
      accept({
        ...user,
        data: (bytes) => {
          length += bytes.length;
          if (length === 3_000_000) received.resolve();
        },
      });
    });
    one.connect('10.9.9.2', 80, 4000, user).write(new Uint8Array(3_000_000));
    await received.promise;
    assert.ok(two.frames < 1000, `${two.frames} frames: the kernel passes large segments whole`);
  });

  it('gives another name to one whose own another host of this machine has, unless somebody has chosen it', () => {
    const bridge = hostBridge(name, () => undefined) ?? assert.fail();
    for (const number of [2, 3]) {
      const [end, other] = LinkEnd.pair();
      ends.push(end);
      assert.equal(bridge.plug(other, { name: `${name}.1`, mayBeRenamed: true }), `${name}.1-${number}`);
    }
    assert.match(ip('-o', 'link', 'show', 'master', name), new RegExp(`${name}\\.1-3`));
  });

  it('does not exist under another name, and a name that is taken is told', () => {
    assert.equal(
      hostBridge('lo', () => undefined),
      undefined,
    );
    const bridge = hostBridge(name, () => undefined) ?? assert.fail();
    const [, other] = LinkEnd.pair();
    assert.throws(
      () => bridge.plug(other, { name: `${name}.1` }),
      new RegExp(`^Error: ${name}\\.1 cannot be put into the host's bridge ${name}: the system refuses it`),
    );
  });
});
