import type { Sample } from './samples.ts';

/*
 * What an instruction leaves undefined, and is therefore not compared. The words "undefined" and "unaffected" are those of the SDM (Vol. 2, the
 * instruction's own page, "Flags Affected"; Vol. 1, "EFLAGS Cross-Reference"). Results that the SDM calls undefined but that all processors agree on
 * are compared: BSF and BSR leave the destination as it is when the source is zero (AMD64 APM Vol. 3, "BSF" documents it; guests rely on it).
 */
const CF = 0x001;
const PF = 0x004;
const AF = 0x010;
const ZF = 0x040;
const SF = 0x080;
const OF = 0x800;

/** x87 condition codes in the status word. */
const C0 = 0x0100;
const C1 = 0x0200;
const C2 = 0x0400;
const C3 = 0x4000;

export interface Undefined {
  /** Bits of RFLAGS */
  readonly flags: number;
  /** Bits of the x87 status word */
  readonly status: number;
}

interface Rule {
  readonly names: RegExp;
  readonly source: string;
  readonly flags?: number | ((s: Sample) => number);
  readonly status?: number | ((s: Sample) => number);
}

/** Shift count after masking: the immediate, CL, or 1. */
function count(s: Sample): number {
  const { form, width } = s.of;
  const last = form.operands.at(-1);
  const raw =
    s.immediates.length > 0
      ? Number(BigInt.asUintN(8, s.immediates.at(-1) ?? 0n))
      : last?.letter === 'fixed' && last.register === 1
        ? s.before.view.getUint8(8)
        : 1;
  const bits = form.operands[0]?.size === 8 ? 8 : width;
  return raw & (bits === 64 ? 63 : 31);
}
const operandBits = (s: Sample): number => (s.of.form.operands[0]?.size === 8 ? 8 : s.of.width);

function shift(s: Sample): number {
  const n = count(s);
  if (n === 0) return 0;
  return AF | (n > 1 ? OF : 0) | (n >= operandBits(s) && !s.of.name.startsWith('SAR') ? CF : 0);
}

const RULES: readonly Rule[] = [
  { names: /^(AND|OR|XOR|TEST)$/, source: '"AND", "OR", "XOR", "TEST"', flags: AF },
  {
    names: /^(SHL|SAL|SHR|SAR)/,
    source:
      '"SAL/SAR/SHL/SHR": AF for a non-zero count, OF for a count other than 1, CF for a count not below the operand size',
    flags: shift,
  },
  { names: /^SH[LR]D$/, source: '"SHLD", "SHRD"', flags: (s) => (count(s) === 0 ? 0 : AF | (count(s) > 1 ? OF : 0)) },
  {
    names: /^(ROL|ROR|RCL|RCR)$/,
    source: '"RCL/RCR/ROL/ROR": OF for a count other than 1',
    flags: (s) => (count(s) > 1 ? OF : 0),
  },
  { names: /^(BSF|BSR)$/, source: '"BSF", "BSR"', flags: CF | OF | SF | AF | PF },
  { names: /^BT[SRC]?$/, source: '"BT", "BTS", "BTR", "BTC"', flags: OF | SF | AF | PF },
  { names: /^(TZCNT|LZCNT)$/, source: '"TZCNT", "LZCNT"', flags: OF | SF | AF | PF },
  { names: /^I?MUL(_truncating)?$/, source: '"MUL", "IMUL"', flags: SF | ZF | AF | PF },
  { names: /^(DIV|IDIV)$/, source: '"DIV", "IDIV"', flags: CF | OF | SF | ZF | AF | PF },
  { names: /^(ANDN|BZHI|BLSI|BLSMSK|BLSR)$/, source: '"ANDN", "BZHI", "BLSI", "BLSMSK", "BLSR"', flags: AF | PF },
  { names: /^BEXTR$/, source: '"BEXTR"', flags: AF | SF | PF },
  { names: /^(AAA|AAS)$/, source: '"AAA", "AAS"', flags: OF | SF | ZF | PF },
  { names: /^(AAM|AAD)$/, source: '"AAM", "AAD"', flags: OF | AF | CF },
  { names: /^(DAA|DAS)$/, source: '"DAA", "DAS"', flags: OF },
  // x87: Vol. 1, "Condition Code Interpretation". C1 is defined (rounded up; stack overflow or underflow) except after comparisons' own results.
  {
    names:
      /^F(ADD|SUB|MUL|DIV|IADD|ISUB|IMUL|IDIV|SQRT|RNDINT|SCALE|LD|ILD|BLD|ST|IST|BST|ISTT|XCH|CHS|ABS|XTRACT|DECSTP|INCSTP|CMOV|FREE)/,
    source: 'C0, C2 and C3',
    status: C0 | C2 | C3,
  },
  { names: /^F(COM|UCOM|ICOM|TST|UCOMI|COMI)/, source: 'C1 is cleared or undefined', status: 0 },
  {
    names: /^F(SIN|COS|SINCOS|PTAN)$/,
    source: '"FSIN", "FCOS", "FSINCOS", "FPTAN": C2 tells of an operand out of range',
    status: C0 | C1 | C3,
  },
  { names: /^F(PATAN|2XM1|YL2X|YL2XP1)$/, source: '"FPATAN", "F2XM1", "FYL2X", "FYL2XP1"', status: C0 | C1 | C2 | C3 },
];

const RULES_OF = new Map<string, readonly Rule[]>();

export function undefinedOf(s: Sample): Undefined {
  if (s.undefined) return s.undefined;
  let rules = RULES_OF.get(s.of.name);
  if (!rules) {
    rules = RULES.filter((r) => r.names.test(s.of.name));
    RULES_OF.set(s.of.name, rules);
  }
  let flags = 0;
  let status = 0;
  for (const r of rules) {
    flags |= typeof r.flags === 'function' ? r.flags(s) : (r.flags ?? 0);
    status |= typeof r.status === 'function' ? r.status(s) : (r.status ?? 0);
  }
  return { flags, status };
}

/** Memory bytes, relative to the operand, where processors may differ: the x87 pointers and opcode, reserved parts of the FXSAVE area. */
export function undefinedMemory(s: Sample): readonly (readonly [from: number, to: number])[] {
  switch (s.of.name) {
    case 'FXSAVE':
    case 'FXSAVE64':
      return [
        [6, 24],
        [28, 32],
        [416, 512],
      ];
    case 'FNSTENV':
    case 'FSTENV':
    case 'FNSAVE':
    case 'FSAVE':
      return [[12, 28]];
    case 'FNSTENV16':
    case 'FNSAVE16':
      return [[6, 14]];
    default:
      return [];
  }
}

/** Results that are approximations by definition, or that only our processor can know. */
export const APPROXIMATE = /^(RCPPS|RCPSS|RSQRTPS|RSQRTSS)$/;
export const TRANSCENDENTAL = /^F(SIN|COS|SINCOS|PTAN|PATAN|2XM1|YL2X|YL2XP1)$/;

/**
 * Instructions that cannot be compared instruction by instruction, each with its reason. Their tests are elsewhere or impossible.
 */
export const NOT_COMPARED: readonly { readonly names: RegExp; readonly why: string }[] = [
  { names: /^(SYSCALL|SYSENTER)$/, why: 'enters the kernel under which the oracle runs' },
  {
    names: /^(sysret|sysexit|vmcall|vmmcall|monitor|mwait|swapgs|clac|stac|rdpmc|xsetbv)$/,
    why: 'intercepted, or refused in another way, by the system under the oracle',
  },
  {
    names: /^(CPUID|RDTSC|RDTSCP|RDRAND|RDSEED|RDPID)$/,
    why: 'gives other results on every processor or at every time',
  },
  { names: /^INT1$/, why: 'a hypervisor under the oracle may report it with RIP at the instruction' },
  { names: /^(SGDT|SIDT|SLDT|STR|SMSW)$/, why: 'emulated by Linux where UMIP is on' },
  { names: /^(XSAVE|XRSTOR|XGETBV|XSAVEOPT)/, why: 'the set of saved states differs' },
];

/** PREFETCHW with a register is #UD on AMD, a NOP on Intel; MOVSXD of 16 bits reads 16 bits on Intel, 32 on AMD. */
export const VENDOR_SPECIFIC = /^(NOP 0F 0D \/r \S+( o\d\d)? r|MOVSX 63 .* o16 )/;

/** When these fault, processors have done part of their work; they can be restarted all the same. Only the exception is compared. */
export const PARTLY_DONE_ON_FAULT = /^(PUSHA|POPA|MASKMOV)/;

/** Privileged instructions with operands that may be invalid: #UD or #GP, the hypervisor that emulates them decides. */
export const REFUSED_ANYHOW = /^mov(From|To)[CD]r$/;

/** Instructions with several accesses, of which any may be the first to fault: the address is not compared. */
export const FAULTS_IN_ANY_ORDER =
  /^(CMPS|FN?STENV|FN?SAVE|FLDENV|FRSTOR|FXSAVE|FXRSTOR|BOUND|ENTER|CALL_far|RET_far|IRET)/;
