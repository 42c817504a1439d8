/** A guest whose console is the standard input and output of an emulator's process. */
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsoleText } from '../guest/console-text.ts';
import { GuestShell } from '../guest/guest-shell.ts';
import { PROGRAMS } from '../comparison/guest-image.ts';
import type { Machine } from './peer.ts';
import { guarded } from './processes.ts';
import { withShare } from './processor-share.ts';

/** Of a machine's devices, as peer.ts names them. */
export type DeviceVariables = Readonly<Partial<Record<'D' | 'H' | 'G' | 'F', string>>>;

/** What a guest's shell is told first. */
export const guestVariables = (devices: DeviceVariables): string =>
  Object.entries({ B: PROGRAMS, X: '/bin/busybox', ...devices })
    .map(([name, value]) => `export ${name}='${value}'`)
    .join('; ');

export interface Emulator {
  readonly program: string;
  readonly args: readonly string[];
  /** For a person, when the program is not there. */
  readonly hint: string;
  /** What comes up first is a host of its own, whose shell makes the guest with this command and becomes its console; the boot is timed from there. */
  readonly create?: string;
  readonly devices?: DeviceVariables;
}

/** Real Xen keeps so much for a domain 0 that is not reading (SERIAL_RX_SIZE, drivers/char/console.c), and loses the rest. */
const ROOM = 128;
const PIECE = 32;
const PIECE_MS = 50;

/** Types a line, a long one slowly. */
async function type(input: Writable, line: string): Promise<void> {
  const step = line.length < ROOM ? ROOM : PIECE;
  for (let at = 0; at < line.length; at += step) {
    if (at > 0) await sleep(PIECE_MS);
    input.write(line.slice(at, at + step));
  }
}

export async function startSerialMachine({ program, args, hint, create, devices = {} }: Emulator): Promise<Machine> {
  let begun = performance.now();
  const { process, pid, end } = await guarded(program, args, hint);
  const text = new ConsoleText();
  let complaint = '';
  process.stdout.on('data', (bytes: Uint8Array) => text.feed(bytes));
  process.stderr.setEncoding('utf8').on('data', (said: string) => (complaint += said));
  process.once('close', () => text.end());
  const shell = new GuestShell(text, (line) => void type(process.stdin, line));
  try {
    if (create !== undefined) {
      await shell.init();
      await shell.prompt();
      begun = performance.now();
      process.stdin.write(`${create}\n`);
    }
    const init = ((await shell.init()) - begun) / 1000;
    await shell.prompt();
    await shell.run(guestVariables(devices));
    return { init, run: (command, patienceMs) => withShare(pid, () => shell.run(command, patienceMs)), stop: end };
  } catch (error) {
    await end();
    throw complaint === '' ? error : new Error(`${program}: ${complaint.trim()}`, { cause: error });
  }
}
