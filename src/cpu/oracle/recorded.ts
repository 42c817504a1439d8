import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type Outcome, type Piece, Stop } from './case-codec.ts';
import { encodeCases } from './case-codec.ts';
import { STATE_SIZE } from './layout.ts';
import { MachineState } from './machine-state.ts';
import { type FormSample } from './form-samples.ts';
import { makeCases, type Sample } from './samples.ts';

/*
 * What a real processor did, for machines that are none or have no C compiler. Cases are not stored: the generator makes the same ones from the
 * same seed, and a digest tells when it no longer does. Stored is, for each case, how it ended and which words of state and memory it changed.
 */
const FILE = new URL('recorded.bin.gz', import.meta.url);
export const RECORDED_CASES = 8;
export const RECORDED_SEED = 4711;

export const recordedCases = (of: FormSample): Sample[] => makeCases(of, RECORDED_CASES, RECORDED_SEED);

/** Changes when the generator gives other cases for a form. */
function digest(cases: readonly Sample[]): number {
  let h = 0x811c_9dc5;
  for (const byte of encodeCases(cases)) h = Math.imul(h ^ byte, 0x0100_0193);
  return h >>> 0;
}

class Writer {
  readonly #parts: Uint8Array[] = [];
  number(value: number, bytes: number): void {
    const part = new Uint8Array(bytes);
    for (let i = 0, v = value; i < bytes; i++, v = Math.floor(v / 256)) part[i] = v % 256;
    this.#parts.push(part);
  }
  bytes(part: Uint8Array): void {
    this.#parts.push(part);
  }
  result(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

class Reader {
  readonly #from: Uint8Array;
  #at = 0;
  constructor(from: Uint8Array) {
    // Not a Buffer, whose slice() shares memory.
    this.#from = new Uint8Array(from);
  }
  get done(): boolean {
    return this.#at >= this.#from.length;
  }
  number(bytes: number): number {
    let value = 0;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (this.#from[this.#at + i] ?? 0);
    this.#at += bytes;
    return value;
  }
  bytes(length: number): Uint8Array {
    this.#at += length;
    return this.#from.slice(this.#at - length, this.#at);
  }
}

function writeOutcome(w: Writer, c: Sample, o: Outcome): void {
  w.number(o.stop, 1);
  if (o.stop === Stop.trap) {
    w.number(o.trap, 1);
    w.number(o.errorCode, 2);
    if (o.trap === 14) w.bytes(littleEndian(o.faultAddress));
  }
  const changed: number[] = [];
  for (let word = 0; word < STATE_SIZE / 8; word++) {
    if (o.after.view.getBigUint64(8 * word, true) !== c.before.view.getBigUint64(8 * word, true)) changed.push(word);
  }
  w.number(changed.length, 1);
  for (const word of changed) {
    w.number(word, 1);
    w.bytes(o.after.bytes.subarray(8 * word, 8 * word + 8));
  }
  w.number(o.changes.length, 1);
  for (const p of o.changes) {
    w.number(p.at / 8, 2);
    w.number(p.bytes.length / 8, 2);
    w.bytes(p.bytes);
  }
}

const littleEndian = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));

function readOutcome(r: Reader, c: Sample): Outcome {
  const code = r.number(1);
  const stop = code === Stop.trap ? Stop.trap : code === Stop.end ? Stop.end : Stop.timeout;
  const trap = stop === Stop.trap ? r.number(1) : 0;
  const errorCode = stop === Stop.trap ? r.number(2) : 0;
  const faultAddress = trap === 14 && stop === Stop.trap ? new DataView(r.bytes(8).buffer).getBigUint64(0, true) : 0n;
  const after = new MachineState(c.before.bytes.slice());
  for (let n = r.number(1); n > 0; n--) {
    const word = r.number(1);
    after.bytes.set(r.bytes(8), 8 * word);
  }
  const changes: Piece[] = [];
  for (let n = r.number(1); n > 0; n--) {
    const at = 8 * r.number(2);
    changes.push({ at, bytes: r.bytes(8 * r.number(2)) });
  }
  return { stop, trap, errorCode, faultAddress, after, changes };
}

/** The recording of these forms as a file's bytes. */
export function encodeRecording(
  forms: readonly { sample: FormSample; cases: readonly Sample[]; outcomes: readonly Outcome[] }[],
): Uint8Array {
  const w = new Writer();
  for (const { sample, cases, outcomes } of forms) {
    const title = new TextEncoder().encode(sample.title);
    const body = new Writer();
    cases.forEach((c, i) => {
      const o = outcomes[i];
      if (o) writeOutcome(body, c, o);
    });
    const bytes = body.result();
    w.number(title.length, 1);
    w.bytes(title);
    w.number(digest(cases), 4);
    w.number(bytes.length, 4);
    w.bytes(bytes);
  }
  return gzipSync(w.result(), { level: 9 });
}

/** Recorded outcomes by form. */
export class Recording {
  readonly #forms = new Map<string, { digest: number; body: Uint8Array }>();

  constructor(file: Uint8Array = readFileSync(FILE)) {
    const r = new Reader(gunzipSync(file));
    while (!r.done) {
      const title = new TextDecoder().decode(r.bytes(r.number(1)));
      const digest = r.number(4);
      this.#forms.set(title, { digest, body: r.bytes(r.number(4)) });
    }
  }

  get size(): number {
    return this.#forms.size;
  }

  /** 'stale': recorded when the generator gave other cases for this form. */
  outcomes(sample: FormSample, cases: readonly Sample[]): Outcome[] | 'absent' | 'stale' {
    const form = this.#forms.get(sample.title);
    if (!form) return 'absent';
    if (form.digest !== digest(cases)) return 'stale';
    const r = new Reader(form.body);
    return cases.map((c) => readOutcome(r, c));
  }
}

export const RECORDING_FILE = FILE;
