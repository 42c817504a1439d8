/** Makes what an object is asked fail once, at a chosen call: for tests of what becomes of a backend with a bug in it. */

export class Fault extends Error {
  override readonly name = 'Fault';
}

/** What gives something back does not fail: who asks for it has nothing else to do. */
const ends = new Set(['unmap', 'close']);

export class Faults {
  /** Calls so far. */
  calls = 0;
  /** What was called at the chosen place. */
  hit: string | undefined;
  readonly #at: number;

  /** @param at the number of the call that throws, from 1 on; 0 for none */
  constructor(at: number) {
    this.#at = at;
  }

  /** The same object, whose methods and whose results' methods count; `except` are left alone. */
  within<T extends object>(target: T, except: readonly string[] = []): T {
    return new Proxy(target, {
      get: (object, key) => {
        const value: unknown = Reflect.get(object, key, object);
        if (typeof value !== 'function' || typeof key !== 'string' || ends.has(key) || except.includes(key))
          return bound(value, object);
        return (...args: readonly unknown[]) => {
          this.calls += 1;
          if (this.calls === this.#at) {
            this.hit = key;
            throw new Fault(`a bug in the call of ${key}`);
          }
          const result: unknown = Reflect.apply(value, object, args);
          return isService(result) ? this.within(result) : result;
        };
      },
    });
  }
}

function bound(value: unknown, object: object): unknown {
  return typeof value === 'function'
    ? (...args: readonly unknown[]) => Reflect.apply(value, object, args) as unknown
    : value;
}

/** Rings, channels and grants are; bytes, lists and promises are not. */
function isService(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return !(ArrayBuffer.isView(value) || Array.isArray(value) || value instanceof Promise);
}
