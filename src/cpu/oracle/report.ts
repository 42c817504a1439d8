import { type Case, imageBefore, type Outcome, Stop } from './case-codec.ts';
import { disassemble, hexBytes } from './disassemble.ts';
import { addressOfImage, FxAt, GPR_NAMES, Mode, pristineImage, SEGMENT_NAMES, StateAt } from './layout.ts';
import { hex, type MachineState } from './machine-state.ts';

const FLAG_BITS = { CF: 0, PF: 2, AF: 4, ZF: 6, SF: 7, TF: 8, IF: 9, DF: 10, OF: 11, NT: 14, AC: 18, ID: 21 } as const;
const TRAPS: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  19: '#XM',
};

export function flagNames(rflags: number): string {
  const names = Object.entries(FLAG_BITS)
    .filter(([name, bit]) => name !== 'IF' && (rflags >>> bit) & 1)
    .map(([name]) => name);
  return names.join(' ') || '-';
}

export function describeStop(o: Outcome): string {
  switch (o.stop) {
    case Stop.end:
      return 'ran to its end';
    case Stop.timeout:
      return 'did not end';
    case Stop.trap: {
      const cr2 = o.trap === 14 ? ` at ${hex(o.faultAddress)}` : '';
      return `${TRAPS[o.trap] ?? `vector ${o.trap}`} error code ${o.errorCode}${cr2}`;
    }
  }
}

/** Eighty-bit value as sign/exponent and significand. */
function extended(bytes: Uint8Array): string {
  return `${hexBytes(bytes.slice(8, 10).reverse()).replaceAll(' ', '')}:${hexBytes(bytes.slice(0, 8).reverse()).replaceAll(' ', '')}`;
}

const bigHex = (bytes: Uint8Array): string => hexBytes(bytes.slice().reverse()).replaceAll(' ', '');

/** Every named part of a state, as text: what reports compare and print. */
export function stateParts(s: MachineState): [name: string, value: string][] {
  const parts: [string, string][] = [['rip', hex(s.rip)]];
  GPR_NAMES.forEach((name, i) => parts.push([name, hex(s.gpr(i))]));
  parts.push(['rflags', `${hex(BigInt(s.rflags), 8)} ${flagNames(s.rflags)}`]);
  parts.push(['fs.base', hex(s.fsBase)], ['gs.base', hex(s.gsBase)]);
  SEGMENT_NAMES.forEach((name, i) => parts.push([name, hex(BigInt(s.selector(i)), 4)]));
  const word = (at: number, digits: number): string => hex(BigInt(s.view.getUint32(StateAt.fx + at, true)), digits);
  parts.push(
    ['fcw', word(FxAt.control, 4)],
    ['fsw', `${word(FxAt.status, 4)} top ${(s.fsw >> 11) & 7}`],
    ['tags', word(FxAt.tags, 2)],
  );
  parts.push(['mxcsr', word(FxAt.mxcsr, 8)]);
  for (let i = 0; i < 8; i++) parts.push([`st${i}`, extended(s.st(i))]);
  for (let i = 0; i < 16; i++) parts.push([`xmm${i}`, bigHex(s.xmm(i))]);
  return parts;
}

/** What a run changed: `name: before -> after`. */
export function describeChanges(c: Case, o: Outcome): string[] {
  const before = stateParts(c.before);
  const lines = stateParts(o.after).flatMap(([name, value], i) => {
    const old = before[i]?.[1] ?? '';
    return value === old ? [] : [`  ${name.padEnd(8)} ${old} -> ${value}`];
  });
  const image = imageBefore(c, pristineImage());
  for (const p of o.changes) {
    lines.push(
      `  [${addressOfImage(p.at).toString(16)}] ${hexBytes(image.slice(p.at, p.at + p.bytes.length))} -> ${hexBytes(p.bytes)}`,
    );
  }
  return lines;
}

export function describeCase(c: Case): string {
  const mode = c.mode === Mode.compat32 ? ' (compatibility mode)' : '';
  return `${disassemble(c.code, c.mode)}${mode}`;
}

export function describeOutcome(c: Case, o: Outcome): string {
  return [`${describeStop(o)}`, ...describeChanges(c, o)].join('\n');
}
