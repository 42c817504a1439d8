/** Commands and mistakes as Xen 4.17 recorded them, against a daemon on a host without processors: standard output, standard error, exit codes. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { FakeHost } from '../testing/fake-host.ts';
import { TestDaemon } from '../testing/test-daemon.ts';

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
    const test = new TestDaemon(new FakeHost(dom0MiB));

    before(async () => {
      await test.start();
      if (about !== 'a domain') return;
      const file = test.path('testvm.cfg');
      writeFileSync(file, `${domain.join('\n')}\n`);
      assert.equal((await test.xl('create', '-q', file)).code, 0);
    });
    after(() => test.close());

    for (const { argv, out = [], err = [], exit = 0 } of cases) {
      it(`xl ${argv.join(' ')}`, async () => {
        const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
        const got = await test.xl(...argv);
        assert.deepEqual(
          { out: steady(got.out), err: got.err, exit: got.code },
          { out: steady(text(out)), err: text(err), exit },
        );
      });
    }
  });
}
