/** A host of its own for a test: a private run directory with its own daemon, and the commands a person would type at it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GuestTerminal } from './guest-terminal.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export type Settings = Readonly<Record<string, string | number | readonly string[]>>;

/** Longer than any one step of a guest takes on a slow and busy machine. */
export const patience = 300_000;
/** As long as a whole Debian may take to boot there. */
export const debianPatience = 1_200_000;

export class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'));
  readonly run = join(this.folder, 'run');
  readonly env: NodeJS.ProcessEnv;

  readonly #commands: string;

  /**
   * @param env of the daemon and all commands, beside what the test itself was given
   * @param commands the folder with them
   */
  constructor(env: NodeJS.ProcessEnv = {}, commands = join(root, 'bin')) {
    this.#commands = commands;
    this.env = { ...process.env, ...env, XENOLITH_RUN_DIR: this.run };
  }

  xl(...args: readonly string[]): Promise<Outcome> {
    return this.#command(join(this.#commands, 'xl'), args);
  }

  /** As xl(), for commands that must succeed: their standard output. */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, out, err } = await this.xl(...args);
    if (code !== 0) throw new Error(`xl ${args.join(' ')} exited with ${code}: ${err}`);
    return out;
  }

  daemon(...args: readonly string[]): Promise<Outcome> {
    return this.#command(join(this.#commands, 'xenolithd'), args);
  }

  /** Another program of the host, with this text on its standard input. */
  program(name: string, args: readonly string[], input = ''): Promise<Outcome> {
    return this.#command(name, args, input);
  }

  /** `npm start` or `npm run demo`. Standard input is the text; the guest gets it line by line. */
  npmRun(script: 'demo' | 'start', input: string, ...args: readonly string[]): Promise<Outcome> {
    return this.#command('npm', ['run', '--silent', script, '--', ...args], input);
  }

  /** `npm start` as it is at a terminal. */
  terminal(script: 'start', ...args: readonly string[]): GuestTerminal {
    // script(1) gives it a terminal, and has its input and output for us.
    const command = ['npm', 'run', '--silent', script, '--', ...args].map((word) => `'${word}'`).join(' ');
    return new GuestTerminal(
      spawn('script', ['-q', '-e', '-f', '-c', command, '/dev/null'], {
        cwd: root,
        env: this.env,
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
  }

  /** A file of the test's own. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** A configuration file in the syntax of xl.cfg. */
  config(settings: Settings): string {
    const { name } = settings;
    const path = this.path(`${name ?? 'nameless'}.cfg`);
    const lines = Object.entries(settings).map(
      ([key, value]) => `${key} = ${typeof value === 'number' ? value : JSON.stringify(value)}\n`,
    );
    writeFileSync(path, lines.join(''));
    return path;
  }

  /** Creates a domain and types into its console. */
  async boot(settings: Settings & { readonly name: string }): Promise<GuestTerminal> {
    await this.ok('create', '-q', this.config(settings));
    return this.console(settings.name);
  }

  console(name: string): GuestTerminal {
    return new GuestTerminal(
      spawn(join(this.#commands, 'xl'), ['console', name], { env: this.env, stdio: ['pipe', 'pipe', 'inherit'] }),
    );
  }

  /** What `xl list` shows of a domain; nothing when there is none. */
  async state(name: string): Promise<ListedDomain | undefined> {
    return (await this.list()).find((domain) => domain.name === name);
  }

  async list(): Promise<ListedDomain[]> {
    const [, ...lines] = (await this.ok('list')).trimEnd().split('\n');
    return lines.map((line) => {
      const [name = '', domid, memory, vcpus, state = '', seconds] = line.split(/\s+/);
      return {
        name,
        domid: Number(domid),
        memory: Number(memory),
        vcpus: Number(vcpus),
        state,
        seconds: Number(seconds),
      };
    });
  }

  async daemonPid(): Promise<number> {
    const { out } = await this.daemon('--status');
    const pid = /\(pid (\d+)\)/.exec(out)?.[1];
    if (pid === undefined) throw new Error(`no daemon: ${out}`);
    return Number(pid);
  }

  /** Megabytes of memory that the daemon's process really uses (Linux only). */
  async daemonResidentMiB(): Promise<number> {
    const status = readFileSync(`/proc/${await this.daemonPid()}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  }

  /** Threads of vCPUs by name, `d1v0`, with their folders in /proc (Linux only). */
  async vcpuThreads(): Promise<ReadonlyMap<string, string>> {
    const tasks = `/proc/${await this.daemonPid()}/task`;
    const named = readdirSync(tasks).flatMap((task) => {
      const folder = join(tasks, task);
      try {
        return [[readFileSync(join(folder, 'comm'), 'utf8').trim(), folder] as const];
      } catch {
        // It has ended since it was listed.
        return [];
      }
    });
    return new Map(named.filter(([name]) => /^d\d+v\d+$/.test(name)));
  }

  /** The whole tree with values and permissions, without what only tells the time. */
  async xenstore(): Promise<string> {
    const { code, out, err } = await this.#command(join(this.#commands, 'xenstore-ls'), ['-f', '-p']);
    if (code !== 0) throw new Error(err);
    return out;
  }

  files(): string[] {
    return readdirSync(this.run, { recursive: true, encoding: 'utf8' }).sort();
  }

  log(name: string): string {
    return readFileSync(join(this.run, 'log', name), 'utf8');
  }

  async close(): Promise<void> {
    await this.daemon('--stop=0');
    rmSync(this.folder, { recursive: true, force: true });
  }

  #command(program: string, args: readonly string[], input?: string): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const stdin = input === undefined ? 'ignore' : 'pipe';
      const child = spawn(program, args, { cwd: root, env: this.env, stdio: [stdin, 'pipe', 'pipe'] });
      let out = '';
      let err = '';
      child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
      child.stdin?.end(input);
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
    });
  }
}

export interface ListedDomain {
  readonly name: string;
  readonly domid: number;
  readonly memory: number;
  readonly vcpus: number;
  readonly state: string;
  readonly seconds: number;
}

/** Asks again and again until there is an answer; throws what was waited for when patience ends. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + patience; Date.now() < end;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    await sleep(100);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Until what is asserted holds; throws as it did last when patience ends. For what follows from a command, but not before the command's end. */
export async function eventually(check: () => void | Promise<void>): Promise<void> {
  for (const end = Date.now() + patience; ;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() >= end) throw error;
    }
    await sleep(100);
  }
}
