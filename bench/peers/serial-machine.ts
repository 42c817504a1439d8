/** A guest whose console is the standard input and output of an emulator's process. */
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

export async function startSerialMachine({ program, args, hint, create, devices = {} }: Emulator): Promise<Machine> {
  let begun = performance.now();
  const { process, pid, end } = await guarded(program, args, hint);
  const text = new ConsoleText();
  let complaint = '';
  process.stdout.on('data', (bytes: Uint8Array) => text.feed(bytes));
  process.stderr.setEncoding('utf8').on('data', (said: string) => (complaint += said));
  process.once('close', () => text.end());
  const shell = new GuestShell(text, (line) => process.stdin.write(line));
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
