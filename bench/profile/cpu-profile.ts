/** Reads what `node --cpu-prof` writes (Chrome DevTools protocol, "Profiler.Profile"). */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Hot {
  readonly what: string;
  readonly share: number;
}

export interface ThreadProfile {
  /** Microseconds, without the time in which the thread slept. */
  readonly total: number;
  /** Of these, in WebAssembly. */
  readonly wasm: number;
  readonly functions: readonly Hot[];
  readonly parts: readonly Hot[];
}

const IDLE = new Set(['(idle)', '(program)', '(root)', 'wait']);

/** Handlers are named `instruction/width:operands`, translated code `region ADDRESS`; the rest is what both call. */
const wasmPart = (name: string): string =>
  name.startsWith('region ')
    ? 'translated code'
    : name.includes('/')
      ? 'interpreter'
      : 'address translation, dispatch, helpers';

/** Where the thread was between two times of the profiler's clock, by its own time, most first. */
export function hottest(profile: CpuProfile, from: number, to: number): ThreadProfile {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const parts = new Map<string, number>();
  let at = profile.startTime;
  let total = 0;
  let wasm = 0;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index + 1] ?? 0;
    at += profile.timeDeltas[index] ?? 0;
    const frame = frames.get(id);
    if (at < from || at >= to || frame === undefined || IDLE.has(frame.functionName)) return;
    const inWasm = frame.url.startsWith('wasm:');
    const file = /\/src\/(.+)$/.exec(frame.url)?.[1];
    const what = inWasm ? frame.functionName : `${frame.functionName || '(anonymous)'} ${file ?? frame.url}`.trim();
    functions.set(what, (functions.get(what) ?? 0) + delta);
    const part = inWasm
      ? wasmPart(frame.functionName)
      : frame.functionName.startsWith('(')
        ? frame.functionName
        : (file?.split('/').slice(0, 2).join('/') ?? 'Node');
    parts.set(part, (parts.get(part) ?? 0) + delta);
    total += delta;
    if (inWasm) wasm += delta;
  });
  const sorted = (times: ReadonlyMap<string, number>): Hot[] =>
    [...times].map(([what, time]) => ({ what, share: time / total })).sort((a, b) => b.share - a.share);
  return { total, wasm, functions: sorted(functions), parts: sorted(parts) };
}
