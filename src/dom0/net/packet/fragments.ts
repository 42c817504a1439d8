/** Putting fragmented packets together again (RFC 791, RFC 8200 section 4.5; overlaps are refused as RFC 5722 wants for IPv6). */
import type { Timers } from '../timers.ts';
import type { IpPacket } from './ip.ts';

interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Incomplete {
  readonly since: number;
  parts: Part[];
  /** Known once the last fragment is here. */
  total: number | undefined;
}

const MOST_INCOMPLETE = 64;
const MOST_PARTS = 64;
const MOST_BYTES = 65_535;
const PATIENCE = 30_000;

export class Fragments {
  readonly #timers: Timers;
  /** In order of their first fragment. */
  readonly #incomplete = new Map<string, Incomplete>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** The whole packet when this was the last part of it that was missing. */
  add(packet: IpPacket): IpPacket | undefined {
    const { fragment, source, destination, protocol, payload } = packet;
    if (fragment === undefined) return packet;
    this.#forgetOld();
    const key = `${source.join('.')} ${destination.join('.')} ${protocol} ${fragment.id}`;
    const known = this.#incomplete.get(key) ?? { since: this.#timers.now(), parts: [], total: undefined };
    const end = fragment.offset + payload.length;
    const sane = end <= MOST_BYTES && payload.length > 0 && (!fragment.more || payload.length % 8 === 0);
    if (!sane || !insert(known, { offset: fragment.offset, bytes: payload }, fragment.more ? undefined : end)) {
      this.#incomplete.delete(key);
      return undefined;
    }
    const whole = assemble(known);
    if (whole === undefined) {
      this.#incomplete.set(key, known);
      const [oldest] = this.#incomplete.keys();
      if (this.#incomplete.size > MOST_INCOMPLETE && oldest !== undefined) this.#incomplete.delete(oldest);
      return undefined;
    }
    this.#incomplete.delete(key);
    const { version, hopLimit } = packet;
    return { version, source, destination, protocol, hopLimit, payload: whole, verified: false };
  }

  #forgetOld(): void {
    for (const [key, { since }] of this.#incomplete) {
      if (this.#timers.now() - since < PATIENCE) return;
      this.#incomplete.delete(key);
    }
  }
}

/** False: it does not fit to the others. */
function insert(known: Incomplete, part: Part, total: number | undefined): boolean {
  const end = part.offset + part.bytes.length;
  if (total !== undefined && known.total !== undefined && known.total !== total) return false;
  known.total ??= total;
  if (known.total !== undefined && end > known.total) return false;
  const at = known.parts.findIndex(({ offset }) => offset >= part.offset);
  const place = at < 0 ? known.parts.length : at;
  const before = known.parts[place - 1];
  const after = known.parts[place];
  // The same once more does no harm.
  if (after?.offset === part.offset && after.bytes.length === part.bytes.length) return true;
  if (before !== undefined && before.offset + before.bytes.length > part.offset) return false;
  if (after !== undefined && end > after.offset) return false;
  known.parts.splice(place, 0, part);
  return (
    known.parts.length <= MOST_PARTS &&
    (known.total === undefined || known.parts.every((p) => p.offset + p.bytes.length <= (known.total ?? 0)))
  );
}

function assemble({ parts, total }: Incomplete): Uint8Array | undefined {
  if (total === undefined) return undefined;
  let at = 0;
  for (const { offset, bytes } of parts) {
    if (offset !== at) return undefined;
    at += bytes.length;
  }
  if (at !== total) return undefined;
  const whole = new Uint8Array(total);
  for (const { offset, bytes } of parts) whole.set(bytes, offset);
  return whole;
}
