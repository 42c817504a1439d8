/** The terminal, the keys and the time of `xl top`: one sample after the other until it is left. */
import type { ReadStream } from 'node:tty';
import type { HostStatistics } from '../../daemon/statistics-protocol.ts';
import type { Sample } from './columns.ts';
import { keysOf, press, type TopState } from './keys.ts';
import { domainLines, NameWidth, plain } from './report.ts';
import { enterScreen, leaveScreen, screen, type ScreenSize } from './screen.ts';

export interface TopSession {
  readonly ask: () => Promise<HostStatistics>;
  readonly state: TopState;
  /** Samples until it ends by itself. */
  readonly iterations: number;
}

/** setTimeout takes no more. */
const MOST_DELAY_MS = 0x7fffffff;
/** Of a terminal that says it has none, as one without a window does. */
const SCREEN: ScreenSize = { columns: 80, rows: 24 };

const delayOf = ({ delaySeconds }: TopState): number =>
  delaySeconds < 0 ? MOST_DELAY_MS : Math.min(delaySeconds * 1000, MOST_DELAY_MS);

/** Each sample with the one before it. */
function sampler(ask: () => Promise<HostStatistics>): () => Promise<Sample> {
  let last: { readonly host: HostStatistics; readonly at: number } | undefined;
  return async () => {
    const before = last;
    const at = performance.now();
    const host = await ask();
    last = { host, at };
    return { host, before: before?.host, secondsBetween: (at - (before?.at ?? at)) / 1000 };
  };
}

/** Without a terminal. SIGINT and SIGTERM end it after the sample, with exit code 0, as xentop's. */
export async function runBatch({ ask, state, iterations }: TopSession, out: (text: string) => void): Promise<void> {
  const sample = sampler(ask);
  const names = new NameWidth();
  const ended = new AbortController();
  const end = (): void => ended.abort();
  process.on('SIGINT', end).on('SIGTERM', end);
  try {
    for (let left = iterations; ;) {
      out(plain(domainLines(await sample(), state.view, names)));
      left -= 1;
      if (left <= 0 || ended.signal.aborted) return;
      await pause(delayOf(state), ended.signal);
      if (ended.signal.aborted) return;
    }
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
  }
}

export async function runScreen(
  { ask, state: first, iterations }: TopSession,
  input: ReadStream,
  output: NodeJS.WriteStream,
): Promise<void> {
  const sample = sampler(ask);
  const names = new NameWidth();
  let state: TopState | undefined = first;
  let wake = new AbortController();
  const onTyped = (bytes: Buffer): void => {
    for (const key of keysOf(bytes.toString('utf8'))) state = state && press(state, key);
    wake.abort();
  };
  const onResize = (): void => wake.abort();
  input.setRawMode(true);
  input.on('data', onTyped);
  output.on('resize', onResize);
  output.write(enterScreen);
  input.resume();
  try {
    for (let left = iterations; state !== undefined;) {
      wake = new AbortController();
      const now = await sample();
      state = within(state, now.host.domains.length);
      if (state === undefined) return;
      output.write(screen(now, state, sizeOf(output), names, new Date()));
      left -= 1;
      if (left <= 0) return;
      await pause(delayOf(state), wake.signal);
    }
  } finally {
    input.off('data', onTyped);
    output.off('resize', onResize);
    input.setRawMode(false);
    input.pause();
    output.write(leaveScreen);
  }
}

function sizeOf({ columns, rows }: ScreenSize): ScreenSize {
  return columns > 0 && rows > 0 ? { columns, rows } : SCREEN;
}

/** There is always a domain to be seen. */
function within(state: TopState | undefined, domains: number): TopState | undefined {
  return state && { ...state, view: { ...state.view, skip: Math.max(0, Math.min(state.view.skip, domains - 1)) } };
}

/** Until the time is over or the signal comes. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', end, { once: true });
  });
}
