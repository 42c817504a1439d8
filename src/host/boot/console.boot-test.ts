/** A guest's console by all its ways: terminal node, several people with xl console, log files. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { guestFiles, PLAIN_CONSOLE } from '../../toolstack/guest-files/guest-files.ts';
import { GuestTerminal } from '../testing/guest-terminal.ts';
import { Machine, until } from '../testing/machine.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const logSize = 32 * 1024;
const lines = 15_000;

describe('the console of a guest', () => {
  const folder = new Machine();
  const settings = folder.path('console.cfg');
  const machine = new Machine({ XENOLITH_CONSOLE_CONFIG: settings });
  const children: ChildProcess[] = [];
  let guest: GuestTerminal;

  /** A terminal program on a node: shows what comes out of it, and passes on what is typed. `leave` ends it. */
  function terminal(node: string): { screen: GuestTerminal; leave(): Promise<unknown> } {
    const child = spawn('sh', ['-c', `cat ${node} & cat > ${node}; kill $!`], { stdio: ['pipe', 'pipe', 'ignore'] });
    children.push(child);
    const screen = new GuestTerminal(child);
    return {
      screen,
      leave() {
        child.stdin.end();
        return screen.ended;
      },
    };
  }
  const xlConsole = (...args: readonly string[]): ChildProcess => {
    const child = spawn(join(root, 'bin/xl'), ['console', ...args], { env: machine.env, stdio: 'pipe' });
    children.push(child);
    return child;
  };
  const node = async (): Promise<string> =>
    /\/console\/tty = "(.*?)"/.exec(await machine.xenstore())?.[1] ?? assert.fail('no tty');
  const logs = join(machine.run, 'log', 'console');

  before(async () => {
    writeFileSync(settings, `timestamp = "guest"\nlog_size = ${logSize / 1024}\nlog_files = 2\n`);
    const { kernel, ramdisk } = await guestFiles();
    const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
    const channel = ['name=org.example.agent, connection=pty', `connection=socket, path=${machine.path('agent')}`];
    guest = await machine.boot({ name: 'web', kernel, ramdisk, cmdline, memory: 128, channel });
    await guest.ready();
  });
  after(async () => {
    for (const child of children) child.kill();
    await machine.close();
    await folder.close();
  });

  it('is a terminal of the host, named in xenstore, for programs that know nothing of Xen', async (t) => {
    if (process.platform !== 'linux') return t.skip('no pseudo-terminals here');
    const path = await node();
    assert.match(path, /^\/dev\/pts\/\d+$/);
    const { screen, leave } = terminal(path);
    await screen.expect(/Linux version 6\.1/);
    assert.equal(await screen.run('echo from the terminal'), 'from the terminal');
    await guest.expect(/from the terminal/);
    guest.type('echo from $((20 + 1)) xl\n');
    await screen.expect(/from 21 xl/);
    await leave();
  });

  it('is for several people at a time, of whom a slow one delays nobody', async () => {
    const slow = xlConsole('web');
    slow.stdout?.pause();
    const other = new GuestTerminal(xlConsole('web'));
    assert.equal(await other.run(`seq 1 ${lines}`), numbers(lines));
    assert.equal(await other.leave(), 0);
    slow.stdin?.write('\x1d');
  });

  it('is left by another character when one is given', async () => {
    const child = xlConsole('-e', '^a', 'web');
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stdout?.resume();
    child.stdin?.write('echo a $((40 + 2))\n\x1d');
    await guest.expect(/a 42/);
    assert.equal(child.exitCode, null);
    child.stdin?.write('\x01');
    assert.equal(await ended, 0);
    // The shell got Ctrl-].
    guest.type('\n');
    const wrong = await machine.xl('console', '-e', '^ab', 'web');
    assert.deepEqual(
      [wrong.code, wrong.err],
      [1, 'the escape character is one character, or a caret and a letter, as ^]\n'],
    );
  });

  it('may have others beside it, by terminal, by xl and by socket', async () => {
    assert.match(await machine.xenstore(), /\/local\/domain\/1\/device\/console\/1\/tty = "\/dev\/pts\/\d+"/);
    assert.equal(await guest.run('cat /sys/bus/xen/devices/console-1/nodename'), 'device/console/1');
    const other = new GuestTerminal(xlConsole('-n', '1', 'web'));
    await guest.run('echo to the agent > /dev/hvc1');
    await other.expect(/to the agent/);
    other.type('from the agent\n');
    assert.equal(await guest.run('head -n 1 < /dev/hvc1'), 'from the agent');
    assert.equal(await other.leave(), 0);
    const socket = connect(machine.path('agent'));
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    await once(socket, 'connect');
    socket.write('by socket\n');
    assert.equal(await guest.run('head -n 1 < /dev/hvc2; echo answer > /dev/hvc2'), 'by socket');
    // The guest's terminal echoes what it is sent.
    await until('the answer', () => Promise.resolve(text.includes('answer')));
    socket.destroy();
  });

  it('is the only one that is not asked for', async () => {
    const missing = 'xenconsole: Could not read tty from store: No such file or directory\n';
    for (const args of [
      ['-t', 'serial'],
      ['-t', 'pv', '-n', '3'],
      ['-n', '7'],
    ]) {
      const { code, err } = await machine.xl('console', ...args, 'web');
      assert.deepEqual([code, err], [2, missing], args.join(' '));
    }
  });

  it('is logged with the time of each line, in files of which no guest can make too many', () => {
    const files = readdirSync(logs).sort();
    assert.deepEqual(files, ['guest-web.log', 'guest-web.log.1', 'guest-web.log.2', 'hypervisor.log']);
    for (const file of files) assert.ok(statSync(join(logs, file)).size <= logSize, file);
    const text = readFileSync(join(logs, 'guest-web.log.1'), 'utf8');
    assert.match(text, /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] 1\d{4}\r$/m);
    assert.match(readFileSync(join(logs, 'hypervisor.log'), 'utf8'), /^\(XEN\) Xen version 4\.17\.7/);
  });

  it('has a log that begins anew when it was moved away and the daemon has got SIGHUP', async () => {
    renameSync(join(logs, 'guest-web.log'), join(logs, 'moved'));
    process.kill(await machine.daemonPid(), 'SIGHUP');
    // The signal may arrive after what is printed first.
    await until('a new log', async () => {
      await guest.run('echo hello');
      return readdirSync(logs).includes('guest-web.log');
    });
  });

  it('ends with its domain for all who are there, and the next one is another', async () => {
    const path = await node();
    const other = path.startsWith('/dev/') ? terminal(path) : undefined;
    await other?.screen.run('echo here');
    await machine.ok('reboot', 'web');
    assert.equal(await guest.ended, 0);
    await other?.leave();
    await until('the next domain', async () => {
      const domain = await machine.state('web');
      return domain !== undefined && domain.domid > 1 && !domain.state.includes('p');
    });
    guest = machine.console('web');
    await guest.expect(/Linux version 6\.1[^]*Command line/);
    assert.match(readFileSync(join(logs, 'guest-web.log'), 'utf8'), /Linux version 6\.1/);
    await machine.ok('destroy', 'web');
    assert.equal(await guest.ended, 0);
  });
});

function numbers(last: number): string {
  return Array.from({ length: last }, (_, i) => i + 1).join('\n');
}
