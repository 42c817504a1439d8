/** A guest behind NAT: an address by DHCP, names, the world by HTTP both ways, and a port of the host that leads into it. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import type { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

const page = randomBytes(10_000_000);
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** As Debian's default script of udhcpc, in short. */
const dhcpScript = [
  '#!/bin/sh',
  '[ "$1" = bound ] || exit 0',
  'ifconfig $interface $ip netmask $subnet mtu $mtu',
  'route add default gw $router',
  'echo nameserver $dns > /etc/resolv.conf',
];

describe('a domain behind NAT', () => {
  let machine: Machine;
  let guest: GuestTerminal;
  let port = 0;
  const uploads: string[] = [];
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end(page);
      return;
    }
    const hash = createHash('md5');
    request.on('data', (bytes: Buffer) => hash.update(bytes));
    request.on('end', () => {
      uploads.push(hash.digest('hex'));
      response.end('thanks');
    });
  });
  /** Knows one address for every name: the gateway's, behind which the host is. */
  const resolver = createSocket('udp4', (question, { port: from, address }) => {
    const end = question.indexOf(0, 12) + 5;
    const isA = question.readUInt16BE(end - 4) === 1;
    const header = Buffer.from([question[0] ?? 0, question[1] ?? 0, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 2, 2]);
    resolver.send(Buffer.concat([header, question.subarray(12, end), ...(isA ? [answer] : [])]), from, address);
  });

  before(async () => {
    server.listen(0, '127.0.0.1');
    resolver.bind(0, '127.0.0.1');
    await Promise.all([once(server, 'listening'), once(resolver, 'listening')]);
    ({ port } = server.address() as AddressInfo);
    const plain = new Machine();
    const config = plain.path('network.cfg');
    writeFileSync(config, `bridge = [ "name=xenbr0, allow_host=1, resolver=127.0.0.1:${resolver.address().port}" ]\n`);
    plain.env['XENOLITH_NETWORK_CONFIG'] = config;
    machine = plain;
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    guest = await machine.boot({ name: 'web', kernel, ramdisk, cmdline, memory: 160, vif: ['bridge=xenbr0'] });
    await guest.ready();
    await guest.run(`printf '%s\\n' ${dhcpScript.map((line) => `'${line}'`).join(' ')} > /dhcp; chmod +x /dhcp`);
  });
  after(async () => {
    await machine.close();
    server.close();
    server.closeAllConnections();
    resolver.close();
  });

  it('gets an address by DHCP', async () => {
    await guest.run('mkdir -p /etc; ifconfig lo 127.0.0.1 up; ifconfig eth0 up');
    const out = await guest.run('busybox udhcpc -i eth0 -s /dhcp -t 20 -n -q');
    assert.match(out, /lease of 10\.0\.2\.15 obtained from 10\.0\.2\.2/);
  });

  it('gets an IPv6 address by router advertisement', async () => {
    await until('the address', async () => /fd00:a00:200:.*Scope:Global/.test(await guest.run('ifconfig eth0')));
    // It is not used before it is known that nobody else has it (RFC 4862, 5.4).
    assert.match(await guest.retry('ping -6 -c 1 -W 2 fd00:a00:200::2'), /1 packets received/);
  });

  it('pings its gateway', async () => {
    assert.match(await guest.run('ping -c 3 -W 10 10.0.2.2'), /3 packets received, 0% packet loss/);
    assert.match(await guest.run('ping -c 1 -W 10 -s 8000 10.0.2.2'), /1 packets received/);
  });

  it('loads a page from a server of the host, by name', async () => {
    assert.match(await guest.run(`wget -q -O - http://some.example:${port}/ | md5sum`), new RegExp(`${md5(page)}  -$`));
  });

  it('sends data to it', async () => {
    await guest.run('head -c 3000000 /dev/urandom > /tmp/data');
    const sum = /([0-9a-f]{32})  -$/.exec(await guest.run('md5sum < /tmp/data'))?.[1];
    const request = `printf 'POST / HTTP/1.0\\r\\nContent-Length: 3000000\\r\\n\\r\\n'; cat /tmp/data`;
    assert.match(await guest.run(`{ ${request}; } | nc 10.0.2.2 ${port}`), /thanks$/);
    assert.deepEqual(uploads, [sum]);
  });

  it('is told at once when nobody listens', async () => {
    assert.match((await guest.try('nc -w 20 10.0.2.2 1 < /dev/null')).out, /[Cc]onnection refused/);
  });

  it("is reached through a port of the host's, found by its name", async () => {
    const made = await machine.ok('network-forward', '0', 'web:7777');
    const hostPort = Number(/^tcp:127\.0\.0\.1:(\d+) is forwarded to web:7777\n$/.exec(made)?.[1]);
    await guest.run('echo hello from the guest > /tmp/hello');
    await guest.start('nc -l -p 7777 < /tmp/hello > /tmp/got');
    await guest.listens(7777);
    const socket = connect(hostPort, '127.0.0.1');
    socket.end('hello from the host\n');
    let got = '';
    socket.setEncoding('latin1').on('data', (text: string) => (got += text));
    await once(socket, 'close');
    assert.equal(got, 'hello from the guest\n');
    await guest.retry('grep -x "hello from the host" /tmp/got');
    assert.match(await machine.ok('network-forward'), /web:7777 +xenbr0/);
  });
});
