/** Commands and mistakes as Xen 4.17 recorded them, against a daemon on a host without processors: standard output, standard error, exit codes. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startDaemon, type Daemon } from '../daemon/daemon.ts';
import { prepareRunDirectory, runDirectory } from '../daemon/run-directory.ts';
import { FakeHost } from '../testing/fake-host.ts';
import { run } from './run.ts';

interface RecordedCommand {
  readonly argv: readonly string[];
  /** Lines; absent: none. */
  readonly out?: readonly string[];
  readonly err?: readonly string[];
  readonly exit?: number;
}

/** Commands of a group ran one after the other, from a host that had just been started. */
interface RecordedGroup {
  readonly about: string;
  readonly cases: readonly RecordedCommand[];
}

const groups = JSON.parse(
  readFileSync(new URL('recorded-commands.json', import.meta.url), 'utf8'),
) as readonly RecordedGroup[];

/** The recorded host's. */
const dom0MiB = 1024;
const domain = ['name="testvm"', 'kernel="/boot/vmlinuz"', 'memory=256', 'vcpus=1', 'maxvcpus=2'];

/** What differs from run to run: processor time, how long something has been up, and whether a vCPU runs at this moment. */
function steady(text: string): string {
  return text
    .replace(/ +[0-9]+\.[0-9](?=[ \n])/g, ' TIME')
    .replace(/ [0-9]+:[0-9]{2}:[0-9]{2}$/gm, ' UPTIME')
    .replace(/^(Domain-0 .*) (?:-b-|r--) TIME/gm, '$1 STATE TIME');
}

for (const { about, cases } of groups) {
  describe(`xl on ${about}, as recorded`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'xl-recorded-'));
    const env = { XENOLITH_RUN_DIR: join(directory, 'run') };
    const host = new FakeHost(dom0MiB);
    let daemon: Daemon;

    const xl = async (argv: readonly string[]): Promise<{ out: string; err: string; exit: number }> => {
      let [out, err] = ['', ''];
      const terminal = { out: (text: string) => (out += text), err: (line: string) => (err += `${line}\n`), env };
      const exit = await run(argv, terminal);
      return { out, err, exit };
    };

    before(async () => {
      const where = runDirectory(env);
      prepareRunDirectory(where);
      daemon = await startDaemon({ host: host.asHost(), run: where, build: host.build, log: () => undefined });
      if (about !== 'a domain') return;
      const file = join(directory, 'testvm.cfg');
      writeFileSync(file, `${domain.join('\n')}\n`);
      assert.equal((await xl(['create', '-q', file])).exit, 0);
    });
    after(async () => {
      await daemon.close();
      rmSync(directory, { recursive: true });
    });

    for (const { argv, out = [], err = [], exit = 0 } of cases) {
      it(`xl ${argv.join(' ')}`, async () => {
        const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
        const got = await xl(argv);
        assert.deepEqual(
          { out: steady(got.out), err: got.err, exit: got.exit },
          { out: steady(text(out)), err: text(err), exit },
        );
      });
    }
  });
}
