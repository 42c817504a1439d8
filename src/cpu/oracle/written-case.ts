import type { Case } from './case-codec.ts';
import { CODE, GPR_NAMES, imageOffset, type Mode } from './layout.ts';
import { MachineState } from './machine-state.ts';

function littleEndian(text: string, length: number): Uint8Array {
  const digits = text
    .replace(/[_:\s]/g, '')
    .replace(/^0x/, '')
    .padStart(2 * length, '0');
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(digits.slice(-2 * i - 2, digits.length - 2 * i), 16));
}

function parseBytes(text: string): Uint8Array {
  const digits = text.replace(/[\s,]|0x/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) throw new Error(`no bytes: ${text}`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/**
 * A case written by hand: hexadecimal code bytes, and settings NAME=VALUE. Names are general registers, rflags, fsbase, gsbase, mxcsr, fcw, fsw, tags,
 * xmmN and stN (hexadecimal, highest byte first), `ds`, `at` (where the code lies), and memory addresses (hexadecimal bytes in memory order).
 */
export function caseOf(bytes: string, settings: readonly string[], mode: Mode): Case {
  const before = MachineState.fresh(mode);
  before.rip = BigInt(CODE.start);
  const patches: { at: number; bytes: Uint8Array }[] = [];
  for (const setting of settings) {
    const [name = '', value = ''] = setting.split('=');
    const gpr = GPR_NAMES.findIndex((n) => n === name);
    const number = (): bigint => BigInt.asUintN(64, value.startsWith('-') ? -BigInt(value.slice(1)) : BigInt(value));
    const numbered = /^(xmm|st)(\d+)$/.exec(name);
    if (gpr >= 0) before.setGpr(gpr, number());
    else if (name === 'ds') before.setSelector(3, Number(number()));
    else if (name === 'at') before.rip = number();
    else if (name === 'rflags') before.rflags = Number(number());
    else if (name === 'fsbase') before.fsBase = number();
    else if (name === 'gsbase') before.gsBase = number();
    else if (name === 'mxcsr') before.mxcsr = Number(number());
    else if (name === 'fcw') before.fcw = Number(number());
    else if (name === 'fsw') before.fsw = Number(number());
    else if (name === 'tags') before.tags = Number(number());
    else if (numbered?.[1] === 'xmm') before.xmm(Number(numbered[2])).set(littleEndian(value, 16));
    else if (numbered?.[1] === 'st') before.st(Number(numbered[2])).set(littleEndian(value, 10));
    else if (name.startsWith('0x')) {
      const at = imageOffset(Number(name));
      if (at === undefined) throw new Error(`no data region at ${name}`);
      patches.push({ at, bytes: parseBytes(value) });
    } else throw new Error(`unknown name: ${name}`);
  }
  return { mode, code: parseBytes(bytes), before, patches };
}
