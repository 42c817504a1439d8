/** The parts of DNS messages (RFC 1035, section 4) that say what a guest asks for and which addresses it is told. All of them come from strangers. */
import { put16, u16, u32 } from '../packet/bytes.ts';

export const RCODE = { formatError: 1, nameError: 3, refused: 5 } as const;

const HEADER = 12;
const CLASS_IN = 1;
export const TYPE = { A: 1, CNAME: 5, AAAA: 28, OPT: 41 } as const;
const FLAGS = { response: 0x8000, opcode: 0x7800, recursionDesired: 0x0100, recursionAvailable: 0x0080 } as const;
const LONGEST_NAME = 255;
const MOST_RECORDS = 256;
const OPT_LENGTH = 11;
/** What a guest may say it can take in a datagram; more than Linux' resolvers ask for. */
const LARGEST_ANSWER = 4096;
const SMALLEST_ANSWER = 512;
const DNSSEC_OK = 0x8000;

export interface Question {
  /** Lower case, without the last dot; empty for the root. */
  readonly name: string;
  readonly type: number;
  /** The same question with nothing else in it, for a resolver. */
  readonly message: Uint8Array;
}

/** A guest's message with one question; a number: what is wrong with it, as a response code. */
export function readQuestion(bytes: Uint8Array): Question | number {
  if (bytes.length < HEADER) return RCODE.formatError;
  const flags = u16(bytes, 2);
  const counts = [4, 6, 8, 10].map((at) => u16(bytes, at));
  const [questions, answers, authorities, additional = 0] = counts;
  if ((flags & (FLAGS.response | FLAGS.opcode)) !== 0 || questions !== 1 || answers !== 0 || authorities !== 0)
    return RCODE.formatError;
  const name = readName(bytes, HEADER, false);
  if (name === undefined || name.end + 4 > bytes.length) return RCODE.formatError;
  if (u16(bytes, name.end + 2) !== CLASS_IN) return RCODE.refused;
  const end = name.end + 4;
  // EDNS (RFC 6891): how much the guest takes, and whether it wants signatures. What else stands there stays here.
  const hasOpt =
    additional > 0 && bytes[end] === 0 && u16(bytes, end + 1) === TYPE.OPT && end + OPT_LENGTH <= bytes.length;
  const message = new Uint8Array(end + (hasOpt ? OPT_LENGTH : 0));
  message.set(bytes.subarray(0, end));
  put16(message, 2, flags & FLAGS.recursionDesired);
  put16(message, 10, hasOpt ? 1 : 0);
  if (hasOpt) {
    put16(message, end + 1, TYPE.OPT);
    put16(message, end + 3, Math.min(Math.max(u16(bytes, end + 3), SMALLEST_ANSWER), LARGEST_ANSWER));
    put16(message, end + 7, u16(bytes, end + 7) & DNSSEC_OK);
  }
  return { name: name.text, type: u16(bytes, name.end), message };
}

/** To a question that is not asked: its header and what of it could be read. */
export function refusal(bytes: Uint8Array, code: number): Uint8Array {
  const name = u16(bytes, 4) === 1 ? readName(bytes, HEADER, false) : undefined;
  const end = name === undefined || name.end + 4 > bytes.length ? HEADER : name.end + 4;
  const answer = new Uint8Array(end);
  answer.set(bytes.subarray(0, end));
  put16(
    answer,
    2,
    FLAGS.response | (u16(bytes, 2) & (FLAGS.opcode | FLAGS.recursionDesired)) | FLAGS.recursionAvailable | code,
  );
  for (const at of [6, 8, 10]) put16(answer, at, 0);
  put16(answer, 4, end === HEADER ? 0 : 1);
  return answer;
}

export interface FoundAddress {
  readonly address: Uint8Array;
  /** Seconds. */
  readonly ttl: number;
}

/** The addresses that an answer gives to the name that was asked for, or to what that is another name of. Nothing of an answer to something else. */
export function readAddresses(bytes: Uint8Array, { name, type }: Question): readonly FoundAddress[] {
  if (bytes.length < HEADER || (u16(bytes, 2) & FLAGS.response) === 0 || u16(bytes, 4) !== 1) return [];
  const asked = readName(bytes, HEADER, true);
  if (asked === undefined || asked.text !== name || u16(bytes, asked.end) !== type) return [];
  const names = new Set([name]);
  const found: FoundAddress[] = [];
  let at = asked.end + 4;
  // Resolvers give aliases before what they lead to.
  for (let left = Math.min(u16(bytes, 6), MOST_RECORDS); left > 0; left--) {
    const owner = readName(bytes, at, true);
    if (owner === undefined || owner.end + 10 > bytes.length) break;
    const [kind, kindClass, ttl, length] = [
      u16(bytes, owner.end),
      u16(bytes, owner.end + 2),
      u32(bytes, owner.end + 4),
      u16(bytes, owner.end + 8),
    ];
    const data = owner.end + 10;
    at = data + length;
    if (at > bytes.length) break;
    if (kindClass !== CLASS_IN || !names.has(owner.text)) continue;
    const alias = kind === TYPE.CNAME ? readName(bytes, data, true) : undefined;
    if (alias !== undefined) names.add(alias.text);
    else if ((kind === TYPE.A && length === 4) || (kind === TYPE.AAAA && length === 16))
      found.push({ address: bytes.slice(data, at), ttl });
  }
  return found;
}

/** The name at `at`, and where what follows it begins. Labels may hold any bytes; those that no rule can be about are shown as `?`. */
function readName(bytes: Uint8Array, at: number, mayPoint: boolean): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let [from, length] = [at, 0];
  let end: number | undefined;
  for (;;) {
    const size = bytes[from];
    if (size === undefined) return undefined;
    if (size >= 0xc0) {
      const to = u16(bytes, from) & 0x3fff;
      // Pointers lead back (RFC 1035, section 4.1.4), so that there is an end.
      if (!mayPoint || to >= from || from + 1 >= bytes.length) return undefined;
      end ??= from + 2;
      from = to;
      length += 2;
    } else if (size > 63) {
      return undefined;
    } else {
      if (from + 1 + size > bytes.length) return undefined;
      length += size + 1;
      if (size === 0) return { text: labels.join('.'), end: end ?? from + 1 };
      let label = '';
      for (const byte of bytes.subarray(from + 1, from + 1 + size)) label += letterOf(byte);
      labels.push(label);
      from += size + 1;
    }
    if (length > LONGEST_NAME) return undefined;
  }
}

function letterOf(byte: number): string {
  const letter = String.fromCharCode(byte).toLowerCase();
  return /[a-z0-9_-]/.test(letter) ? letter : '?';
}
