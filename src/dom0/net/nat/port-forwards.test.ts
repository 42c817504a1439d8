/** Ports of the host that lead to guests. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concat } from '../../testing/tcp-peer.ts';
import { bytes, network, text } from '../testing/nat-network.ts';

describe('port forwards', () => {
  it('bring a connection to a guest that is found by its address, from its gateway', async () => {
    const { nat, guest, sockets, timers, peer } = network();
    await nat.forward({
      protocol: 'tcp',
      host: { address: '127.0.0.1', port: 2222 },
      guest: '10.0.2.15',
      guestPort: 22,
    });
    const server = peer();
    guest.listen(22, (accept) => {
      server.connection = accept(server);
    });
    const stream = sockets.connectIn('127.0.0.1 2222') ?? assert.fail();
    const got: Uint8Array[] = [];
    stream.onData = (data) => void got.push(data);
    stream.send(bytes('SSH-2.0-test'));
    timers.pass(100);
    server.connection?.write(bytes('welcome'));
    timers.pass(100);
    assert.deepEqual([text(concat(server.received)), text(concat(got))], ['SSH-2.0-test', 'welcome']);
    stream.sendEnd();
    server.connection?.end();
    timers.pass(100);
    stream.finish('done');
    timers.pass(60_000);
    assert.equal(nat.tcpFlows, 0);
  });

  it('find a domain by its name and lease; nobody there is a reset', async () => {
    const { nat, sockets, timers } = network();
    await nat.forward({ protocol: 'tcp', host: { address: '127.0.0.1', port: 1 }, guest: 'web', guestPort: 22 });
    await nat.forward({ protocol: 'tcp', host: { address: '127.0.0.1', port: 2 }, guest: '10.0.2.77', guestPort: 22 });
    const [one, two] = [sockets.connectIn('127.0.0.1 1'), sockets.connectIn('127.0.0.1 2')];
    timers.pass(10_000);
    assert.deepEqual([one?.over, two?.over], [true, true]);
  });

  it('carry datagrams, each peer by a port of its own', async () => {
    const { nat, sockets, guest, timers } = network();
    await nat.forward({ protocol: 'udp', host: { address: '0.0.0.0', port: 5353 }, guest: '10.0.2.15', guestPort: 53 });
    const [socket] = sockets.udp;
    for (const port of [1, 2]) socket?.handlers.received(bytes(`from ${port}`), { address: '198.51.100.1', port });
    timers.pass(100);
    for (const { from, port, data } of guest.datagrams) guest.sendUdp(from, port, 53, bytes(`re: ${text(data)}`));
    timers.pass(100);
    assert.deepEqual(
      socket?.sent.map(({ data, to }) => [text(data), to.port]),
      [
        ['re: from 1', 1],
        ['re: from 2', 2],
      ],
    );
  });

  it('can be removed, and say when they cannot be made', async () => {
    const { nat, sockets } = network();
    const rule = {
      protocol: 'tcp',
      host: { address: '127.0.0.1', port: 80 },
      guest: '10.0.2.15',
      guestPort: 80,
    } as const;
    await nat.forward(rule);
    await assert.rejects(nat.forward(rule), /somebody else listens/);
    assert.deepEqual(nat.forwards, [rule]);
    assert.equal(nat.removeForward('tcp', rule.host), true);
    assert.equal(nat.removeForward('tcp', rule.host), false);
    assert.equal(sockets.listening.size, 0);
  });
});
