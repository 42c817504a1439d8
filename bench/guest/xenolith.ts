/** A daemon of its own for a measurement, in a private run directory, and the guests that are booted under it. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from '../../src/toolstack/agent/client.ts';
import { attachAgent } from '../../src/toolstack/daemon/agent-link.ts';
import { DaemonClient } from '../../src/toolstack/daemon/client.ts';
import type { DomainSummary } from '../../src/toolstack/daemon/protocol.ts';
import { runDirectory } from '../../src/toolstack/daemon/run-directory.ts';
import { guestFiles, PLAIN_CONSOLE, type GuestFiles } from '../../src/toolstack/guest-files/guest-files.ts';
import { Guest } from './guest.ts';
import { atRest } from './thread-times.ts';
import { noteSteps } from './note-steps.ts';

/** As long as a guest may take to boot. */
const AGENT_PATIENCE_MS = 300_000;
const root = join(import.meta.dirname, '../..');

/** What every row boots, unless it has files of its own: Debian's cloud kernel with the initramfs that `npm run demo` uses. */
export const MEMORY_MIB = 256;

let files: Promise<GuestFiles> | undefined;

/** The kernel and its ramdisk, fetched on first use. Throws when they cannot be had: no apt, no network. */
export function bootFiles(note: (text: string) => void): Promise<GuestFiles> {
  files ??= guestFiles({ onProgress: noteSteps(note) });
  return files;
}

/** `disk`, `vif` and `channel` of xl.cfg. */
export type Devices = Readonly<Partial<Record<'disk' | 'vif' | 'channel', readonly string[]>>>;

/** In the syntax of xl.cfg. */
export function domainConfig(
  name: string,
  { kernel, ramdisk }: GuestFiles,
  memory = MEMORY_MIB,
  vcpus = 1,
  devices: Devices = {},
  words = '',
): string {
  const settings = {
    name,
    type: 'pv',
    kernel,
    ramdisk,
    memory,
    vcpus,
    cmdline: `console=hvc0 ${PLAIN_CONSOLE} ${words}`.trim(),
    on_crash: 'destroy',
    ...devices,
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
    .join('');
}

export class Xenolith {
  readonly pid: number;
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #files: GuestFiles;
  readonly #memory: number;
  readonly #vcpus: number;
  readonly #devices: Devices;
  readonly #client: DaemonClient;
  #guests = 0;

  private constructor(o: {
    folder: string;
    env: NodeJS.ProcessEnv;
    files: GuestFiles;
    memory: number;
    vcpus: number;
    devices: Devices;
    client: DaemonClient;
    pid: number;
  }) {
    this.#folder = o.folder;
    this.#env = o.env;
    this.#files = o.files;
    this.#memory = o.memory;
    this.#vcpus = o.vcpus;
    this.#devices = o.devices;
    this.#client = o.client;
    this.pid = o.pid;
  }

  /** The files, MiB of memory, vCPUs and devices are for the guests that will be created; `network` is the text of a network.cfg. */
  static async start(
    note: (text: string) => void,
    guests: {
      readonly files?: GuestFiles;
      readonly memory?: number;
      readonly vcpus?: number;
      readonly network?: string;
    } & Devices = {},
  ): Promise<Xenolith> {
    const { files = await bootFiles(note), memory = MEMORY_MIB, vcpus = 1, network } = guests;
    const { disk = [], vif = [], channel = [] } = guests;
    const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'));
    const env: NodeJS.ProcessEnv = { ...process.env, XENOLITH_RUN_DIR: join(folder, 'run') };
    if (network !== undefined) {
      env['XENOLITH_NETWORK_CONFIG'] = join(folder, 'network.cfg');
      writeFileSync(env['XENOLITH_NETWORK_CONFIG'], network);
    }
    await command('bin/xenolithd', [], env);
    const client = await connect(env);
    const { pid } = await client.call('hello', {});
    await atRest(pid);
    return new Xenolith({ folder, env, files, memory, vcpus, devices: { disk, vif, channel }, client, pid });
  }

  /** `xl ARGUMENTS`: seconds until it has ended. */
  async xl(...args: readonly string[]): Promise<number> {
    const from = performance.now();
    await command('bin/xl', args, this.#env);
    return (performance.now() - from) / 1000;
  }

  /** `xl create` of a new guest, its console attached; the words are added to the kernel's command line. */
  async create(words = ''): Promise<Guest> {
    const name = `bench${++this.#guests}`;
    const config = join(this.#folder, `${name}.cfg`);
    writeFileSync(config, domainConfig(name, this.#files, this.#memory, this.#vcpus, this.#devices, words));
    const begun = performance.now();
    const created = await this.xl('create', '-q', config);
    const { domid } = await this.#client.call('domid', { name });
    if (domid === null) throw new Error(`xl create made no domain ${name}`);
    return this.attached(domid, begun, created);
  }

  /** A domain that is there, its console attached. */
  async attached(domid: number, begun = performance.now(), created = 0): Promise<Guest> {
    const console = await connect(this.#env);
    const guest = new Guest({ domid, begun, created, console, daemon: this.#client });
    await console.call('attachConsole', { domid });
    return guest;
  }

  async summary(domid: number): Promise<DomainSummary> {
    const [domain] = (await this.#client.call('list', { domid })).domains;
    if (domain === undefined) throw new Error(`domain ${domid} is gone`);
    return domain;
  }

  /** A request to the daemon, without a process of xl. */
  get daemon(): DaemonClient {
    return this.#client;
  }

  /** The agent in a guest that has its channel, as soon as it answers; who asks closes it. */
  async agent(domid: number): Promise<AgentClient> {
    return new AgentClient(await attachAgent(await connect(this.#env), domid, AGENT_PATIENCE_MS));
  }

  /** A file of the measurement's own. */
  path(name: string): string {
    return join(this.#folder, name);
  }

  /** `xl migrate` to another daemon of this machine: what xl said. */
  migrate(domid: number, to: Xenolith): Promise<string> {
    const receiver = `env XENOLITH_RUN_DIR=${join(to.#folder, 'run')} ${join(root, 'bin/xl')} migrate-receive`;
    return command('bin/xl', ['migrate', '-s', '', String(domid), receiver], this.#env);
  }

  async close(): Promise<void> {
    this.#client.close();
    await command('bin/xenolithd', ['--stop=0'], this.#env);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function connect(env: NodeJS.ProcessEnv): Promise<DaemonClient> {
  const client = await DaemonClient.connect(runDirectory(env).socket);
  if (client === undefined) throw new Error('the daemon does not serve');
  return client;
}

/** Its standard error. */
function command(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(root, program), args, { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    child.on('error', reject);
    child.on('exit', (code) => {
      if (code === 0) resolve(said);
      else reject(new Error(`${program} ${args.join(' ')} exited with ${code}: ${said.trim()}`));
    });
    child.stderr.on('error', () => undefined);
  });
}
