import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Pty } from '../../dom0/console/index.ts';
import { openPty } from './pty.ts';

const linux = process.platform === 'linux';

function open(): Pty {
  const pty = openPty((message) => assert.fail(message));
  assert.ok(pty);
  return pty;
}

/** What a shell command prints. */
function shell(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.on('error', reject);
    child.on('close', () => resolve(out));
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a pseudo-terminal', { skip: !linux }, () => {
  it('gives what is written to who opens its node, byte by byte, and takes what is typed there', async () => {
    const pty = open();
    let typed = '';
    pty.onInput = (bytes) => (typed += Buffer.from(bytes).toString('latin1'));
    assert.equal(pty.write(Buffer.from('a\r\nb\x03\x04c\n')), 8);
    assert.equal(await shell(`head -c 8 < ${pty.path}`), 'a\r\nb\x03\x04c\n');
    await shell(`printf 'root\\n\\003' > ${pty.path}`);
    await until(() => typed.length === 6);
    assert.equal(typed, 'root\n\x03');
    pty.close();
  });

  it('never waits for a reader, and says when there is room again', async () => {
    const pty = open();
    const text = Array.from({ length: 60_000 }, (_, i) => `line ${i}\n`).join('');
    let rest = Buffer.from(text);
    const send = (): void => void (rest = rest.subarray(pty.write(rest)));
    send();
    assert.ok(rest.length > 0 && rest.length < text.length, 'some of it fits');
    pty.onRoom = send;
    assert.equal(await shell(`head -c ${text.length} < ${pty.path}`), text);
    assert.equal(rest.length, 0);
    pty.close();
  });

  it('lets who types wait while input is not taken', async () => {
    const pty = open();
    let typed = '';
    pty.onInput = (bytes) => (typed += Buffer.from(bytes).toString('latin1'));
    pty.takeInput(false);
    await shell(`printf early > ${pty.path}`);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(typed, '');
    pty.takeInput(true);
    await until(() => typed === 'early');
    pty.close();
  });

  it('is gone when it is closed, and leaves no descriptor', async () => {
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    open().close();
    const before = descriptors();
    const pty = open();
    const reader = shell(`cat < ${pty.path} 2> /dev/null`);
    pty.close();
    pty.close();
    assert.equal(await reader, '');
    assert.equal(pty.write(Buffer.from('late')), 4);
    await until(() => descriptors() <= before);
  });
});
