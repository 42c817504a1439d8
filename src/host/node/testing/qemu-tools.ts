/** The programs of QEMU that images are compared with, from Debian's qemu-utils. */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** For a test's `skip`. */
export const withoutQemu =
  spawnSync('qemu-img', ['--version']).error === undefined ? false : 'qemu-utils is not installed';

/** Standard output; a failure rejects with what the program said. */
export async function qemuImg(...args: string[]): Promise<string> {
  return (await run('qemu-img', args)).stdout;
}

export async function qemuIo(path: string, format: string, ...commands: string[]): Promise<string> {
  const { stdout } = await run('qemu-io', ['-f', format, ...commands.flatMap((command) => ['-c', command]), path]);
  if (/failed|error/i.test(stdout)) throw new Error(stdout);
  return stdout;
}

export interface QemuCheck {
  readonly corruptions?: number;
  readonly leaks?: number;
  readonly 'check-errors': number;
}

/** `qemu-img check`; one that finds something rejects too, so its output is looked for in the error. */
export async function qemuCheck(path: string): Promise<QemuCheck> {
  try {
    return JSON.parse(await qemuImg('check', '-U', '-f', 'qcow2', '--output=json', path)) as QemuCheck;
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (stdout === undefined || !stdout.startsWith('{')) throw error;
    return JSON.parse(stdout) as QemuCheck;
  }
}
