import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ConfigError } from './config-error.ts';
import { joinOverrides } from './config-text.ts';
import { configToJson } from './domain-config.ts';
import { formatJson } from './json.ts';
import { parseConfig } from './parse-config.ts';

/** What Xen 4.17's xl printed for a configuration: with -N its JSON on standard output; `stdout` null means it was not recorded. */
interface RecordedCase {
  readonly name: string;
  readonly source: string;
  readonly config: string;
  readonly args: readonly string[];
  readonly stdout: string | null;
  readonly stderr: readonly string[];
  readonly exit: number;
}

const cases = JSON.parse(
  readFileSync(new URL('recorded-cases.json', import.meta.url), 'utf8'),
) as readonly RecordedCase[];

/** A UUID that the configuration does not give is made up anew each time. */
const anyUuid = (json: string, config: string): string =>
  config.includes('uuid') ? json : json.replace(/"uuid": ".*"/, '"uuid": "…"');

describe('a configuration gives what Xen 4.17 recorded for it', () => {
  for (const { name, source, config, args, stdout, stderr, exit } of cases) {
    it(name, () => {
      const lines = [`Parsing config from ${source}`];
      let json = '';
      let code = 0;
      try {
        const text = joinOverrides(Buffer.from(config), args);
        const parsed = parseConfig(text, source, { cpus: 2 }, (line) => lines.push(line));
        json = `${formatJson(configToJson(parsed.config))}\n`;
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        lines.push(error.message);
        code = error.exitCode;
      }
      assert.deepEqual(lines, stderr);
      assert.equal(code, exit);
      if (stdout !== null) assert.equal(anyUuid(json, config), anyUuid(stdout, config));
    });
  }
});
