import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { XenError } from '../xen-error.ts';
import { parseConsoleConfig, readConsoleConfig, type ConsoleConfig } from './console-config.ts';

const parse = (text: string): ConsoleConfig => parseConsoleConfig(text, 'console.cfg');

describe('console.cfg', () => {
  it('has everything logged, without time stamps, when it is empty or not there', () => {
    const usual = {
      log: { guest: true, hv: true },
      timestamp: { guest: false, hv: false },
      replaceEscape: false,
      logDir: undefined,
      logSize: 4 * 1024 * 1024,
      logFiles: 4,
    };
    assert.deepEqual(parse(''), usual);
    assert.deepEqual(readConsoleConfig({ XDG_CONFIG_HOME: '/nosuch' }), usual);
  });

  it('takes the options of xenconsoled and the size of logs', () => {
    const text =
      'log = "guest"\ntimestamp = "all"\nreplace_escape = 1\nlog_dir = "/var/log"\nlog_size = 64\nlog_files = 0\n';
    assert.deepEqual(parse(text), {
      log: { guest: true, hv: false },
      timestamp: { guest: true, hv: true },
      replaceEscape: true,
      logDir: '/var/log',
      logSize: 65536,
      logFiles: 0,
    });
  });

  it('is read from the file that the environment names, which has to be there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'console-config-'));
    const path = join(folder, 'my.cfg');
    assert.throws(
      () => readConsoleConfig({ XENOLITH_CONSOLE_CONFIG: path }),
      /cannot read the configuration .*my\.cfg/,
    );
    writeFileSync(path, 'log="none"');
    assert.deepEqual(readConsoleConfig({ XENOLITH_CONSOLE_CONFIG: path }).log, { guest: false, hv: false });
    rmSync(folder, { recursive: true });
  });

  const wrong: readonly [string, RegExp][] = [
    ['log = "some"', /^console\.cfg:1: log is none, guest, hv or all, not "some"$/],
    ['\ntimestamp = "toString"', /^console\.cfg:2: timestamp is none, guest/],
    ['log_size = 1', /log_size is a number from 4 to 1048576, not 1/],
    ['log_files = 100', /log_files is a number from 0 to 99/],
    ['log_files = "x"', /parameter `log_files' is not a valid number/],
    ['log_dir = ""', /log_dir is empty/],
    ['log = [ "all" ]', /parameter `log' is a list/],
    ['colour = 1', /unknown key "colour"/],
    ['log = ', /console\.cfg:1/],
  ];
  for (const [text, message] of wrong) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parse(text),
        (error) => error instanceof XenError && message.test(error.message),
      );
    });
  }
});
