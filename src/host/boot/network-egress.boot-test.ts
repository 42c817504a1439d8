/** A guest that may reach one name at one port: it loads a page from there, and is refused everything else at once. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine } from '../testing/machine.ts';

/** Names lead to addresses outside of the bridge only, and the loopback is nobody else's business: it takes an address on some network. */
const address = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const skip = address === undefined ? 'this host has no network' : false;

describe('a domain with egress rules', { skip }, () => {
  let machine: Machine;
  let guest: GuestTerminal;
  const servers: Server[] = [];
  const ports: number[] = [];
  const asked: string[] = [];
  /** Knows one address for every name. */
  const resolver = createSocket('udp4', (question, { port: from, address: to }) => {
    const end = question.indexOf(0, 12) + 5;
    asked.push(
      question
        .subarray(13, end - 5)
        .toString('latin1')
        .replace(/[^a-z]/g, '.'),
    );
    const isA = question.readUInt16BE(end - 4) === 1;
    const header = Buffer.from([question[0] ?? 0, question[1] ?? 0, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(address ?? '').split('.').map(Number)]);
    resolver.send(Buffer.concat([header, question.subarray(12, end), ...(isA ? [answer] : [])]), from, to);
  });

  before(async () => {
    for (const text of ['allowed', 'other']) {
      const server = createServer((_, response) => response.end(`${text}\n`)).listen(0, address);
      servers.push(server);
      await once(server, 'listening');
      ports.push((server.address() as AddressInfo).port);
    }
    resolver.bind(0, '127.0.0.1');
    await once(resolver, 'listening');
    machine = new Machine();
    const config = machine.path('network.cfg');
    writeFileSync(config, `bridge = [ "name=xenbr0, resolver=127.0.0.1:${resolver.address().port}" ]\n`);
    machine.env['XENOLITH_NETWORK_CONFIG'] = config;
    const { kernel, ramdisk } = await guestFiles();
    guest = await machine.boot({
      name: 'web',
      kernel,
      ramdisk,
      cmdline: `console=hvc0 ${PLAIN_CONSOLE}`,
      memory: 160,
      vif: [`ip=10.0.2.15,egress=allowed.example:${ports[0]}`],
    });
    await guest.ready();
    await guest.run('mkdir -p /etc; ifconfig lo 127.0.0.1 up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up');
    await guest.run('route add default gw 10.0.2.2; echo nameserver 10.0.2.3 > /etc/resolv.conf');
  });
  after(async () => {
    await machine.close();
    resolver.close();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  });

  const load = (where: string): Promise<{ out: string }> => guest.try(`wget -q -O - http://${where}/ 2>&1`);

  it('does not reach the address before it has asked for its name', async () => {
    assert.match((await load(`${address}:${ports[0]}`)).out, /refused/);
  });

  it('loads a page by the allowed name', async () => {
    assert.match((await load(`allowed.example:${ports[0]}`)).out, /^allowed$/m);
  });

  it('is refused another port, and other names, of which the resolver does not hear', async () => {
    assert.match((await load(`allowed.example:${ports[1]}`)).out, /refused/);
    assert.match((await load(`other.example:${ports[0]}`)).out, /bad address/);
    assert.deepEqual([...new Set(asked)], ['allowed.example']);
  });

  it('shows what it has reached, and gets other rules while it runs', async () => {
    const shown = await machine.ok('network-egress', 'web');
    assert.match(
      shown,
      /^vif1\.0: only this is allowed\n {2}allowed\.example:\d+ {2}[1-9]\d*\n {2}refused: [2-9]\d* connections, 0 datagrams, [1-9]\d* names/,
    );
    await machine.ok('network-egress', 'web', 'none');
    assert.match((await load(`${address}:${ports[0]}`)).out, /refused/);
    await machine.ok('network-egress', 'web', `${address}:${ports[1]}`);
    assert.match((await load(`${address}:${ports[1]}`)).out, /^other$/m);
    await machine.ok('network-egress', '-c', 'web');
    assert.match((await load(`other.example:${ports[0]}`)).out, /^allowed$/m);
  });
});
