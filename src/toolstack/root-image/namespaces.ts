/** Running a shell script as root of namespaces of its own, with unshare(1), which every Debian has. */
import { spawn } from 'node:child_process';
import { GuestFilesError } from '../guest-files/guest-files-error.ts';

/** Own mounts, processes, queues of messages and no network: what runs there can neither see nor leave anything outside its folder. */
const isolation = ['--mount', '--pid', '--fork', '--kill-child', '--ipc', '--uts', '--net'];
const asRoot = ['--user', '--map-root-user'];
/** What went wrong stands in the last lines, or in the first that speak of it: dpkg goes on for a while after an error. */
const KEPT_LINES = 20;
const KEPT_TROUBLES = 10;
const trouble = /error|fail|cannot|unable|not found/i;

export interface ScriptRun {
  readonly script: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly onLine: (line: string) => void;
}

/** The options of unshare that work here. Throws GuestFilesError where none do. */
export async function namespaceOptions(): Promise<readonly string[]> {
  // Root may have no user namespaces, and needs none; fakeroot then has nothing to do.
  const choices = [[...asRoot, ...isolation], ...(process.getuid?.() === 0 ? [isolation] : [])];
  let why = '';
  for (const options of choices) {
    const { code, lines } = await run(
      'unshare',
      [...options, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'],
      {},
      () => undefined,
    );
    if (code === 0) return options;
    why = lines.join(' ');
  }
  throw new GuestFilesError(`this machine does not let a program have namespaces of its own: ${why}`, {
    hint: 'kernel.unprivileged_userns_clone=1 (sysctl) allows them on Debian; a container must be started with the right to them',
  });
}

/** Throws GuestFilesError with the last lines when it fails. */
export async function runIsolated(options: readonly string[], { script, args, env, onLine }: ScriptRun): Promise<void> {
  const { code, lines } = await run('unshare', [...options, '/bin/sh', '-c', script, 'sh', ...args], env, onLine);
  if (code !== 0) throw new GuestFilesError(`making the system failed (${code}):\n${lines.join('\n')}`);
}

/** Runs a program of this machine. Throws GuestFilesError when it fails. */
export async function runProgram(program: string, args: readonly string[]): Promise<void> {
  const { code, lines } = await run(program, args, { PATH: process.env['PATH'] ?? '' }, () => undefined);
  if (code !== 0) throw new GuestFilesError(`${program} failed (${code}): ${lines.join('\n')}`);
}

function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  onLine: (line: string) => void,
): Promise<{ code: number; lines: readonly string[] }> {
  return new Promise((resolve, reject) => {
    const whole = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/root', ...env };
    const child = spawn(program, args, { env: whole, stdio: ['ignore', 'pipe', 'pipe'] });
    const kept: string[] = [];
    const troubles: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          onLine(line);
          kept.push(line);
          const [oldest] = kept.length > KEPT_LINES ? kept.splice(0, 1) : [];
          if (oldest !== undefined && troubles.length < KEPT_TROUBLES && trouble.test(oldest)) troubles.push(oldest);
        }
      });
    }
    const stop = (): void => void child.kill();
    process.once('exit', stop);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      process.off('exit', stop);
      const why =
        cause.code === 'ENOENT' ? 'is not there: this needs a Debian machine' : `cannot be run: ${cause.message}`;
      reject(new GuestFilesError(`${program} ${why}`, { cause }));
    });
    child.on('close', (code) => {
      process.off('exit', stop);
      resolve({ code: code ?? -1, lines: [...troubles, ...kept] });
    });
  });
}
