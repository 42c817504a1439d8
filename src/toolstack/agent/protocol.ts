/**
 * What the host and the agent in a guest say to each other, as docs/agent.md has it: the numbers of guest/protocol.h, and how requests and answers are
 * written. All numbers are little-endian.
 */
import { randomBytes } from 'node:crypto';

/** A frame of the channel: what it says, of which operation, and more. */
export interface Message {
  readonly type: number;
  readonly id: number;
  readonly content: Uint8Array;
}

/** The name of the channel, `name=` in xl.cfg. */
export const channelName = 'org.xenolith.agent.0';
export const version = 1;

/** Bytes of a program or a file in one frame. */
export const maxData = 4096;
/** Of a frame before it is encoded. */
export const maxFrame = maxData + 32;
/** Of a request: a program's arguments and environment, or a path and what is asked of it. */
export const maxRequest = 1 << 20;

/** From the host. */
export const Ask = { reset: 1, open: 2, body: 3, data: 4, end: 5, credit: 6, signal: 7, close: 8 } as const;
/** From the agent. */
export const Tell = {
  hello: 0x81,
  started: 0x82,
  output: 0x83,
  ended: 0x84,
  room: 0x85,
  exited: 0x86,
  result: 0x87,
} as const;
/** What an `open` asks for. */
export const Work = { exec: 1, read: 2, write: 3, list: 4, stat: 5, mkdir: 6, remove: 7 } as const;
export type Work = (typeof Work)[keyof typeof Work];
/** Where a program failed to start. */
export const Stage = { start: 0, cwd: 1, command: 2 } as const;
/** A program's streams; what is read of a file comes as `stdout`. */
export const Stream = { stdin: 0, stdout: 1, stderr: 2 } as const;
/** Of file operations. */
export const FileFlag = { follow: 1, recursive: 2, inPlace: 4, hasMode: 8 } as const;

/** "XLAG" */
const magic = 0x47414c58;
const none = new Uint8Array(0);

export function message(type: number, id: number, content: Uint8Array = none): Message {
  return { type, id, content };
}

// --- sessions --------------------------------------------------------------------------------------------------------

/** What becomes of the programs that an earlier session of the same guest left running. */
export type Earlier = 'detach' | 'kill';

export function newSession(): Uint8Array {
  return randomBytes(8);
}

export function reset(session: Uint8Array, earlier: Earlier): Message {
  const content = Buffer.alloc(16);
  content.writeUInt32LE(magic, 0);
  content.writeUInt16LE(version, 4);
  content.writeUInt8(earlier === 'kill' ? 1 : 0, 6);
  content.set(session, 8);
  return message(Ask.reset, 0, content);
}

export interface Hello {
  readonly version: number;
  /** Programs and file operations at a time. */
  readonly operations: number;
  /** Bytes that may be sent to one of them before it says that it has room again. */
  readonly window: number;
  readonly session: Uint8Array;
}

/** Undefined: it is none. */
export function readHello({ content }: Message): Hello | undefined {
  const bytes = view(content);
  if (bytes.length < 20 || bytes.readUInt32LE(0) !== magic) return undefined;
  return {
    version: bytes.readUInt16LE(4),
    operations: bytes.readUInt16LE(6),
    window: bytes.readUInt32LE(8),
    session: bytes.subarray(12, 20),
  };
}

// --- requests --------------------------------------------------------------------------------------------------------

/** The frames of a request. `credit`: bytes that may come of each stream. */
export function request(id: number, work: Work, body: Uint8Array, credit: number): Message[] {
  const head = Buffer.alloc(9);
  head.writeUInt8(work, 0);
  head.writeUInt32LE(body.length, 1);
  head.writeUInt32LE(credit, 5);
  const first = maxData - head.length;
  const messages = [message(Ask.open, id, Buffer.concat([head, body.subarray(0, first)]))];
  for (let at = first; at < body.length; at += maxData)
    messages.push(message(Ask.body, id, body.subarray(at, at + maxData)));
  return messages;
}

export interface ExecRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly hasStdin: boolean;
}

export function execRequest({ argv, env, cwd, hasStdin }: ExecRequest): Uint8Array {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const head = Buffer.alloc(6);
  head.writeUInt16LE(hasStdin ? 1 : 0, 0);
  head.writeUInt16LE(argv.length, 2);
  head.writeUInt16LE(variables.length, 4);
  return Buffer.concat([head, ...[cwd, ...argv, ...variables].map((text) => Buffer.from(`${text}\0`))]);
}

export interface FileRequest {
  readonly path: string;
  readonly flags?: number;
  /** Permissions; without them it has the usual ones, or those that it had. */
  readonly mode?: number | undefined;
  readonly offset?: number;
  readonly length?: number;
}

const noLimit = 0xffff_ffff_ffff_ffffn;

export function fileRequest({ path, flags = 0, mode, offset = 0, length }: FileRequest): Uint8Array {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(flags | (mode === undefined ? 0 : FileFlag.hasMode), 0);
  head.writeUInt32LE(mode ?? 0, 4);
  head.writeBigUInt64LE(BigInt(offset), 8);
  head.writeBigUInt64LE(length === undefined ? noLimit : BigInt(length), 16);
  return Buffer.concat([head, Buffer.from(`${path}\0`)]);
}

export function credit(id: number, stream: number, bytes: number): Message {
  const content = Buffer.alloc(5);
  content.writeUInt8(stream, 0);
  content.writeUInt32LE(bytes, 1);
  return message(Ask.credit, id, content);
}

/** `aborting`: what the program leaves behind in its process group is killed when it ends. */
export function signalRequest(id: number, signal: number, aborting: boolean): Message {
  return message(Ask.signal, id, Uint8Array.of(signal, aborting ? 1 : 0));
}

// --- answers ---------------------------------------------------------------------------------------------------------

/** A 32-bit number at the beginning; 0 in what is too short. */
export function number32({ content }: Message): number {
  return content.length < 4 ? 0 : view(content).readUInt32LE(0);
}

export interface Result {
  /** Linux' number; 0: it went well. */
  readonly errno: number;
  readonly stage: number;
  readonly reply: Uint8Array;
}

export function readResult(answer: Message): Result {
  return { errno: number32(answer), stage: answer.content[4] ?? 0, reply: answer.content.subarray(5) };
}

/** What is known of a file. */
export interface FileInfo {
  /** In its folder; empty in an answer about one path. */
  readonly name: string;
  /** Links are not followed in a folder's list. */
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block';
  /** Permissions alone, such as 0o644. */
  readonly mode: number;
  /** The number of its owner. */
  readonly uid: number;
  /** The number of its group. */
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  /** When its content was changed last. */
  readonly modified: Date;
}

const types: Readonly<Record<number, FileInfo['type']>> = {
  0o01: 'fifo',
  0o02: 'character',
  0o04: 'directory',
  0o06: 'block',
  0o10: 'file',
  0o12: 'symlink',
  0o14: 'socket',
};
const entryHead = 30;

/** Files in an answer; an incomplete one at its end is left out. */
export function readFileInfos(bytes: Uint8Array): FileInfo[] {
  const answer = view(bytes);
  const found: FileInfo[] = [];
  for (let at = 0; at + entryHead <= answer.length;) {
    const mode = answer.readUInt32LE(at);
    const end = at + entryHead + answer.readUInt16LE(at + 28);
    if (end > answer.length) break;
    found.push({
      name: answer.toString('utf8', at + entryHead, end),
      type: types[(mode >>> 12) & 0o17] ?? 'file',
      mode: mode & 0o7777,
      uid: answer.readUInt32LE(at + 4),
      gid: answer.readUInt32LE(at + 8),
      size: Number(answer.readBigUInt64LE(at + 12)),
      modified: new Date(Number(BigInt.asIntN(53, answer.readBigUInt64LE(at + 20)))),
    });
    at = end;
  }
  return found;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
