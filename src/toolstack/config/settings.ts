/**
 * Typed reading of parsed settings, with the warnings that xl gives for a value of the wrong kind (xen/tools/libs/util/libxlu_cfg.c).
 * A getter that cannot give the value warns, unless asked to be quiet, and answers undefined: xl then goes on as if the key were absent.
 */
import type { ParsedText, Setting, Value } from './grammar.ts';
import { strtol } from './numbers.ts';

export interface ReadOptions {
  readonly quiet?: boolean;
}

export class Settings {
  readonly source: string;
  readonly report: (line: string) => void;
  readonly #settings: ReadonlyMap<string, Setting>;

  constructor(parsed: ParsedText, source: string, report: (line: string) => void) {
    this.#settings = parsed.settings;
    this.source = source;
    this.report = report;
  }

  names(): readonly string[] {
    return [...this.#settings.keys()];
  }

  has(name: string): boolean {
    return this.#settings.has(name);
  }

  lineOf(name: string): number | undefined {
    return this.#settings.get(name)?.line;
  }

  isList(name: string): boolean {
    const setting = this.#settings.get(name);
    return setting !== undefined && typeof setting.value !== 'string';
  }

  string(name: string, options?: ReadOptions): string | undefined {
    const setting = this.#settings.get(name);
    if (setting === undefined) return undefined;
    if (typeof setting.value === 'string') return setting.value;
    this.#warn(setting, options, `parameter \`${name}' is a list but should be a single value`);
    return undefined;
  }

  long(name: string, options?: ReadOptions): number | undefined {
    const setting = this.#settings.get(name);
    const text = this.string(name, options);
    if (setting === undefined || text === undefined) return undefined;
    if (setting.appended) {
      this.#warn(setting, options, `can't use += with numbers for parameter \`${name}'`);
      return undefined;
    }
    const read = strtol(text);
    if (read.overflow) {
      const why = 'Numerical result out of range';
      this.#warn(setting, options, `parameter \`${name}' could not be parsed as a number: ${why}`);
      return undefined;
    }
    if (read.end === 0 || read.end !== text.length) {
      this.#warn(setting, options, `parameter \`${name}' is not a valid number`);
      return undefined;
    }
    return read.value;
  }

  /** libxl's defbool: absent, false or true. */
  bool(name: string, options?: ReadOptions): boolean | undefined {
    const value = this.long(name, options);
    return value === undefined ? undefined : value !== 0;
  }

  list(name: string, options?: ReadOptions): readonly Value[] | undefined {
    const setting = this.#settings.get(name);
    if (setting === undefined) return undefined;
    if (typeof setting.value !== 'string') return setting.value;
    this.#warn(setting, options, `parameter \`${name}' is a single value but should be a list`);
    return undefined;
  }

  /** The strings of a list up to its first member that is none, as xl walks its lists. */
  strings(name: string, options?: ReadOptions): readonly string[] | undefined {
    const values = this.list(name, options);
    if (values === undefined) return undefined;
    const strings: string[] = [];
    for (const value of values) {
      if (typeof value !== 'string') break;
      strings.push(value);
    }
    return strings;
  }

  #warn(setting: Setting, options: ReadOptions | undefined, message: string): void {
    if (options?.quiet !== true) this.report(`${this.source}:${setting.line}: warning: ${message}`);
  }
}
