import { Exit } from '../exits.ts';
import { Apart, S } from '../state-layout.ts';

/** What a run that is checked came to. */
export interface Outcome {
  readonly exit: Exit;
  /** RFLAGS. */
  readonly flags: number;
  /** The vCPU's state, as far as `S.views`. */
  readonly state: DataView;
  /** Host address of the pages that it wrote, see `Apart`. */
  readonly pages: number;
}

interface Field {
  readonly name: string;
  readonly at: number;
  readonly bytes: number;
}

const GPRS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SEGMENTS = 'es cs ss ds fs gs'.split(' ');
const field = (name: string, at: number, bytes: number): Field => ({ name, at, bytes });

/** What the guest can see of its processor, beside RFLAGS. */
const FIELDS: readonly Field[] = [
  field('rip', S.rip, 8),
  ...GPRS.map((name, n) => field(name, S.gpr + n * 8, 8)),
  ...SEGMENTS.map((name, n) => field(`${name} base`, S.segmentBase + n * 8, 8)),
  ...SEGMENTS.map((name, n) => field(name, S.selector + n * 2, 2)),
  field('ldt', S.ldtSelector, 2),
  field('mode', S.mode, 4),
  field('cr0.ts', S.taskSwitched, 4),
  field('tsc aux', S.tscAux, 4),
  field('mxcsr', S.mxcsr, 4),
  ...Array.from({ length: 16 }, (_, n) => field(`xmm${n}`, S.xmm + n * 32, 16)),
  ...Array.from({ length: 8 }, (_, n) => field(`x87 R${n}`, S.x87 + n * 16, 10)),
  field('x87 control', S.x87Control, 4),
  field('x87 status', S.x87Status, 4),
  field('x87 top', S.x87Top, 4),
  field('x87 tags', S.x87Tags, 4),
  field('x87 opcode', S.x87Opcode, 4),
  field('x87 instruction', S.x87Ip, 8),
  field('x87 operand', S.x87Dp, 8),
];

const DETAILS: readonly Field[] = Array.from({ length: 8 }, (_, n) => field(`detail ${n}`, S.detail + n * 4, 4));
const PAGE_FAULT = 14;

/** What else counts after an exit. */
function fieldsOf({ exit, state }: Outcome): readonly Field[] {
  const length = field('length', S.length, 4);
  const vector = field('vector', S.vector, 4);
  switch (exit) {
    case Exit.Exception: {
      const fault = [vector, field('has error code', S.hasErrorCode, 4), field('error code', S.errorCode, 4)];
      const isPageFault = state.getUint32(S.vector, true) === PAGE_FAULT;
      return isPageFault ? [...fault, field('fault address', S.faultAddress, 8)] : fault;
    }
    case Exit.SoftwareInterrupt:
      return [length, vector];
    case Exit.Privileged:
      return [length, ...DETAILS];
    default:
      return [];
  }
}

/** Exits after which the guest just goes on at RIP. */
const goesOn: ReadonlySet<Exit> = new Set([Exit.Budget, Exit.Interrupt, Exit.Step]);
const nameOf = (exit: Exit): string =>
  goesOn.has(exit) ? 'goes on' : (Object.entries(Exit).find(([, value]) => value === exit)?.[0] ?? String(exit));

const hex = (value: DataView, at: number, bytes: number): string =>
  Array.from({ length: bytes }, (_, n) =>
    value
      .getUint8(at + bytes - 1 - n)
      .toString(16)
      .padStart(2, '0'),
  ).join('');
const line = (name: string, region: string, interpreter: string): string =>
  `${name}: translated ${region}, interpreted ${interpreter}`;

/** A line for each difference. */
export function differences(region: Outcome, interpreter: Outcome, memory: Uint8Array): string[] {
  const lines: string[] = [];
  const exits = [region, interpreter].map(({ exit }) => nameOf(exit));
  const [ours = '', theirs = ''] = exits;
  if (ours !== theirs) lines.push(line('exit', ours, theirs));
  if (region.flags !== interpreter.flags)
    lines.push(line('rflags', region.flags.toString(16), interpreter.flags.toString(16)));
  for (const { name, at, bytes } of [...FIELDS, ...(ours === theirs ? fieldsOf(region) : [])]) {
    if (sameField(region.state, interpreter.state, at, bytes)) continue;
    lines.push(line(name, hex(region.state, at, bytes), hex(interpreter.state, at, bytes)));
  }
  return [...lines, ...memoryDifferences(region, interpreter, memory)];
}

function sameField(a: DataView, b: DataView, at: number, bytes: number): boolean {
  for (let n = 0; n < bytes; n += 2) if (a.getUint16(at + n, true) !== b.getUint16(at + n, true)) return false;
  return true;
}

/** Host page → where the run's copy of it lies. */
function copiesOf({ pages }: Outcome, memory: DataView): Map<number, number> {
  const count = memory.getUint32(pages + Apart.count, true);
  return new Map(
    Array.from({ length: count }, (_, n) => [
      memory.getUint32(pages + Apart.page + n * 4, true),
      pages + Apart.copies + n * 4096,
    ]),
  );
}

/** Places in memory, eight bytes each, at most this many. */
const MOST = 16;

function memoryDifferences(region: Outcome, interpreter: Outcome, bytes: Uint8Array): string[] {
  const memory = new DataView(bytes.buffer);
  const ours = copiesOf(region, memory);
  const theirs = copiesOf(interpreter, memory);
  const lines: string[] = [];
  for (const page of new Set([...ours.keys(), ...theirs.keys()])) {
    const a = ours.get(page) ?? page;
    const b = theirs.get(page) ?? page;
    const same = (at: number): boolean => memory.getInt32(a + at) === memory.getInt32(b + at);
    for (let at = 0; at < 4096 && lines.length < MOST; at += 8) {
      if (same(at) && same(at + 4)) continue;
      lines.push(line(`memory at host 0x${(page + at).toString(16)}`, hex(memory, a + at, 8), hex(memory, b + at, 8)));
    }
  }
  return lines;
}
