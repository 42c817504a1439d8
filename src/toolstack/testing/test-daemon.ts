/** A daemon on a host without processors, with a folder of its own; and the commands of xl as they are typed at it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConsoleConfig } from '../config/console-config.ts';
import { DaemonClient } from '../daemon/client.ts';
import { startDaemon, type Daemon, type DaemonOptions } from '../daemon/daemon.ts';
import { prepareRunDirectory } from '../daemon/prepare-run-directory.ts';
import { runDirectory, type RunDirectory } from '../daemon/run-directory.ts';
import { run } from '../xl/run.ts';
import { FakeHost } from './fake-host.ts';

export interface Outcome {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

export class TestDaemon {
  /** For files of the test; the run directory is in it. */
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-test-'));
  readonly env = { XENOLITH_RUN_DIR: join(this.folder, 'run') };
  readonly where: RunDirectory = runDirectory(this.env);
  readonly host: FakeHost;
  #daemon: Daemon | undefined;

  constructor(host = new FakeHost()) {
    this.host = host;
  }

  async start(options: Partial<Omit<DaemonOptions, 'host' | 'run' | 'build'>> = {}): Promise<void> {
    prepareRunDirectory(this.where);
    const { host, where } = this;
    // Not the configuration of whoever runs the tests.
    const consoleConfig = parseConsoleConfig('', 'console.cfg');
    const usual = { log: () => undefined, consoleConfig };
    this.#daemon = await startDaemon({ ...usual, ...options, host: host.asHost(), run: where, build: host.build });
  }

  get daemon(): Daemon {
    return this.#daemon ?? assert.fail('the daemon was not started');
  }

  async close(): Promise<void> {
    await this.#daemon?.close();
    rmSync(this.folder, { recursive: true });
  }

  /** Another client; whoever asks for it closes it. */
  async client(): Promise<DaemonClient> {
    return (await DaemonClient.connect(this.where.socket)) ?? assert.fail('the daemon does not serve');
  }

  async withClient<T>(use: (client: DaemonClient) => Promise<T>): Promise<T> {
    const client = await this.client();
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  async xl(...argv: readonly string[]): Promise<Outcome> {
    let [out, err] = ['', ''];
    const terminal = {
      out: (text: string) => (out += text),
      err: (line: string) => (err += `${line}\n`),
      env: this.env,
    };
    const code = await run(argv, terminal);
    return { out, err, code };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A configuration file of a PV domain of this name. */
  config(name: string, more = ''): string {
    const file = this.path(`${name}.cfg`);
    writeFileSync(file, `name="${name}"\ntype="pv"\nkernel="/boot/vmlinuz"\nmemory=64\n${more}\n`);
    return file;
  }
}
