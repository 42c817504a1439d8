import { Decoded } from './decoded.ts';
import { type Form, type OperandSpec, sizeOf } from './form.ts';
import { type Encoding, type InstructionSet, variantNumber } from './instruction-set.ts';
import { Mode, S } from './state-layout.ts';

/** An instruction is at most 15 bytes (SDM Vol. 2A, "Instruction Format"). */
export const MAX_LENGTH = 15;

/** Segment override prefixes → segment number. */
const SEGMENT_PREFIX: Readonly<Record<number, number>> = { 0x26: 0, 0x2e: 1, 0x36: 2, 0x3e: 3, 0x64: 4, 0x65: 5 };

/** Sixteen-bit addressing (SDM Vol. 2A, "16-Bit Addressing Forms"): base and index register numbers, -1 for none. */
const ADDRESS16 = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
] as const;

const gprSlot = (n: number): number => S.gpr + n * 8;
const segmentSlot = (n: number): number => S.segmentBase + n * 8;

/** Bytes → predecoded operations. */
export class Decoder {
  readonly #set: InstructionSet;
  readonly #invalid: number;
  readonly #tooLong: number;
  readonly #ea: { rip: number; rip32: number; absolute: number; a32: number; a32Flat: number; a16: number };
  readonly decoded: Decoded;
  // Prefixes and position of the instruction being decoded.
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #long = true;
  #rex = 0;
  #width: 16 | 32 | 64 = 32;
  #address: 64 | 32 | 16 = 64;
  #segment = -1;
  #vvvv = 0;
  /** A byte beyond the end was wanted. */
  #short = false;

  constructor(set: InstructionSet) {
    this.#set = set;
    this.decoded = new Decoded(set.simple, set.handler('(ea rip)'));
    this.#invalid = set.handler('(invalid)');
    this.#tooLong = set.handler('(too long)');
    this.#ea = {
      rip: set.handler('(ea rip)'),
      rip32: set.handler('(ea rip 32)'),
      absolute: set.handler('(ea absolute)'),
      a32: set.handler('(ea 32)'),
      a32Flat: set.handler('(ea 32 long)'),
      a16: set.handler('(ea 16)'),
    };
  }

  /** Decodes the instruction at `at`; looks at no byte from `end` on. The result is `this.decoded`; `truncated` asks for more bytes. */
  decode(bytes: Uint8Array, at: number, end: number, mode: Mode): Decoded {
    const d = this.decoded;
    d.truncated = false;
    d.ends = false;
    d.a = d.b = d.c = d.base = d.index = d.segment = S.zero;
    d.scale = d.disp = d.immLo = d.immHi = 0;
    d.relative = d.ripRelative = false;
    d.prelude = -1;
    d.wrap = 0;
    d.encoding = undefined;
    this.#bytes = bytes;
    this.#at = at;
    this.#end = Math.min(end, at + MAX_LENGTH);
    this.#long = mode === Mode.long64;
    this.#short = false;
    const ok = this.#decode();
    d.length = this.#at - at;
    if (this.#short) {
      // Out of bytes: either the page ends here, or the instruction is longer than 15 bytes, which is #GP; which is #GP.
      if (end < at + MAX_LENGTH) {
        d.truncated = true;
        return d;
      }
      d.length = MAX_LENGTH;
      this.#refuse();
      d.handler = this.#tooLong;
    } else if (!ok) this.#refuse();
    return d;
  }

  #refuse(): void {
    const d = this.decoded;
    d.handler = this.#invalid;
    d.ends = true;
    d.prelude = -1;
    d.relative = false;
  }

  #byte(): number {
    const value = this.#peek();
    this.#at++;
    return value;
  }

  #peek(): number {
    if (this.#at < this.#end) return this.#bytes[this.#at] ?? 0;
    this.#short = true;
    return 0;
  }

  #decode(): boolean {
    let operandSize = false;
    let addressSize = false;
    let lock = false;
    let repeat = 0;
    this.#rex = 0;
    this.#segment = -1;
    let opcode = this.#byte();
    for (;;) {
      const segment = SEGMENT_PREFIX[opcode];
      if (segment !== undefined) {
        // ES, CS, SS and DS overrides are ignored in 64-bit mode, and take nothing back.
        if (!this.#long || segment >= 4) this.#segment = segment;
      } else if (opcode === 0x66) operandSize = true;
      else if (opcode === 0x67) addressSize = true;
      else if (opcode === 0xf0) lock = true;
      else if (opcode === 0xf2 || opcode === 0xf3) repeat = opcode;
      else if (this.#long && (opcode & 0xf0) === 0x40) {
        this.#rex = opcode;
        opcode = this.#byte();
        // A REX prefix counts only directly before the opcode.
        if (
          opcode === 0x66 ||
          opcode === 0x67 ||
          opcode === 0xf0 ||
          opcode === 0xf2 ||
          opcode === 0xf3 ||
          SEGMENT_PREFIX[opcode] !== undefined ||
          (opcode & 0xf0) === 0x40
        ) {
          this.#rex = 0;
          continue;
        }
        break;
      } else break;
      if (this.#at > this.#end) return false;
      opcode = this.#byte();
    }
    let map = 0;
    if (opcode === 0x0f) {
      opcode = this.#byte();
      map = 1;
      if (opcode === 0x38 || opcode === 0x3a) {
        map = opcode === 0x38 ? 2 : 3;
        opcode = this.#byte();
      }
    } else if ((opcode === 0xc4 || opcode === 0xc5) && (this.#long || this.#peek() >= 0xc0)) {
      // VEX (SDM Vol. 2A, "The VEX Prefix"): R, X, B inverted; W, map and the mandatory prefix inside. Other prefixes must be absent.
      if (this.#rex !== 0 || operandSize || repeat !== 0 || lock) return false;
      let last = this.#byte();
      let rexBits = (last & 0x80) === 0 ? 4 : 0;
      map = 4;
      if (opcode === 0xc4) {
        rexBits |= ((last & 0x40) === 0 ? 2 : 0) | ((last & 0x20) === 0 ? 1 : 0);
        map = 3 + (last & 0x1f);
        last = this.#byte();
        if (last & 0x80) rexBits |= 8;
      }
      if (last & 4) return false; // VEX.L = 1: no 256-bit instruction is implemented
      this.#vvvv = (~last >> 3) & 15;
      if (this.#long) this.#rex = 0x40 | rexBits;
      else this.#vvvv &= 7;
      operandSize = (last & 3) === 1;
      repeat = (last & 3) === 2 ? 0xf3 : (last & 3) === 3 ? 0xf2 : 0;
      opcode = this.#byte();
    }
    const rows = this.#set.encodings[map]?.[opcode];
    if (!rows || this.#short) return false;
    const modrm = rows.some((row) => row.form.modrm) ? this.#peek() : 0;
    const rexW = (this.#rex & 8) !== 0;
    for (const row of rows) {
      const { form } = row;
      if (form.modes !== 'both' && (form.modes === '64') !== this.#long) continue;
      switch (form.prefix) {
        case 'any':
          break;
        case 'NP':
          if (operandSize || repeat !== 0) continue;
          break;
        case 'NFx':
          if (repeat !== 0) continue;
          break;
        case '66':
          if (!operandSize || repeat !== 0) continue;
          break;
        case 'F2':
          if (repeat !== 0xf2) continue;
          break;
        case 'F3':
          if (repeat !== 0xf3) continue;
          break;
      }
      // A VEX prefix that names a register nobody takes is invalid.
      if (map > 3 && this.#vvvv !== 0 && !form.operands.some((o) => o.letter === 'B')) continue;
      if (form.noRexB && (this.#rex & 1) !== 0) continue;
      if (form.w !== undefined && (form.w === 1) !== rexW) continue;
      if (form.modrm) {
        if (form.digit >= 0 && form.digit !== ((modrm >> 3) & 7)) continue;
        if (form.exact >= 0 && (modrm < form.exact || modrm >= form.exact + form.exactCount)) continue;
      }
      const mod = form.modrm ? (modrm >= 0xc0 ? 'r' : 'm') : form.operands.some((o) => o.letter === 'O') ? 'm' : 'r';
      this.#width =
        rexW || (this.#long && form.defaultSize === 'f64')
          ? 64
          : operandSize && form.prefix !== '66'
            ? 16
            : this.#long && form.defaultSize === 'd64'
              ? 64
              : 32;
      if (operandSize && form.prefix === '66' && !rexW) this.#width = 32;
      this.#address = this.#long ? (addressSize ? 32 : 64) : addressSize ? 16 : 32;
      const rep = row.instruction.rep ? (repeat === 0xf3 ? 1 : repeat === 0xf2 ? 2 : 0) : 0;
      const handler =
        row.handlers[variantNumber(this.#width, mod, lock, rep, this.#long ? 64 : 32, this.#address === 64 ? 64 : 32)];
      if (handler === undefined || handler < 0) continue;
      return this.#operands(row, handler, mod);
    }
    return false;
  }

  #operands(row: Encoding, handler: number, mod: 'r' | 'm'): boolean {
    const d = this.decoded;
    const { form } = row;
    d.encoding = row;
    d.handler = handler;
    d.ends = row.instruction.ends === true;
    const opcodeLow = (this.#bytes[this.#at - 1] ?? 0) & 7;
    let modrm = 0;
    if (form.modrm) {
      modrm = this.#byte();
      if (mod === 'm') this.#memory(modrm, row.instruction.name === 'LEA');
    }
    // The address of a POP destination is computed after the stack pointer has moved (SDM Vol. 2B, "POP").
    if (mod === 'm' && row.instruction.name === 'POP' && d.base === gprSlot(4)) d.disp += this.#width / 8;
    const firstWidth = form.operands[0] === undefined ? this.#width : sizeOf(form.operands[0], this.#width);
    let immediates = 0;
    for (let position = 0; position < form.operands.length; position++) {
      const spec = form.operands[position];
      if (!spec) continue;
      if (spec.letter === 'I' || spec.letter === 'J') {
        this.#immediate(spec, form, firstWidth, immediates++);
        continue;
      }
      if (spec.letter === 'O') {
        this.#offset();
        continue;
      }
      const register = this.#register(spec, modrm, mod, opcodeLow);
      if (register < 0) continue;
      if (position === 0) d.a = register;
      else if (position === 1) d.b = register;
      else d.c = register;
    }
    // Tells the fault path that the stack segment is meant.
    if (row.instruction.stack && mod === 'r') d.base = gprSlot(4);
    if (row.instruction.perAddress && form.operands.every((o) => o.letter !== 'M' && o.letter !== 'E')) {
      // Implicit memory operands: DS:rSI may be overridden.
      d.segment = this.#segmentOr(3);
    }
    return true;
  }

  /** Field value of a register operand, or -1 when the operand is in memory. */
  #register(spec: OperandSpec, modrm: number, mod: 'r' | 'm', opcodeLow: number): number {
    const rexR = (this.#rex & 4) << 1;
    const rexB = (this.#rex & 1) << 3;
    const reg = (modrm >> 3) & 7;
    const rm = modrm & 7;
    const size = sizeOf(spec, this.#width);
    switch (spec.letter) {
      case 'fixed':
        return gprSlot(spec.register);
      case 'G':
        return this.#gpr(reg | rexR, size);
      case 'E':
        return mod === 'm' ? -1 : this.#gpr(rm | rexB, size);
      case 'R':
        return this.#gpr(rm | rexB, size);
      case 'Z':
        return this.#gpr(opcodeLow | rexB, size);
      case 'V':
        return S.xmm + (reg | rexR) * 32;
      case 'W':
        return mod === 'm' ? -1 : S.xmm + (rm | rexB) * 32;
      case 'U':
        return S.xmm + (rm | rexB) * 32;
      case 'P':
        return S.x87 + reg * 16;
      case 'Q':
        return mod === 'm' ? -1 : S.x87 + rm * 16;
      case 'N':
        return S.x87 + rm * 16;
      case 'B':
        return gprSlot(this.#vvvv);
      case 'S':
        return reg;
      case 'C':
      case 'D':
        return reg | rexR;
      case 'ST':
        return rm;
      case 'M':
      case 'X':
      case 'I':
      case 'J':
      case 'O':
        return -1;
      default: {
        const never: never = spec.letter;
        throw new Error(String(never));
      }
    }
  }

  /** Without REX, byte registers 4…7 are AH CH DH BH: the second byte of the first four slots. */
  #gpr(n: number, size: number): number {
    return size === 8 && this.#rex === 0 && n >= 4 ? gprSlot(n - 4) + 1 : gprSlot(n);
  }

  #immediate(spec: OperandSpec, form: Form, firstWidth: number, nth: number): void {
    const d = this.decoded;
    const size = sizeOf(spec, this.#width);
    let lo: number;
    let hi: number;
    if (size === 8) {
      lo = (this.#byte() << 24) >> 24;
      hi = lo >> 31;
    } else if (size === 16) {
      lo = this.#byte() | (this.#byte() << 8);
      if (spec.letter === 'J' || spec.size === 'z' || spec.size === 'v') lo = (lo << 16) >> 16;
      hi = lo >> 31;
    } else {
      lo = this.#dword();
      hi = size === 64 ? this.#dword() : lo >> 31;
    }
    if (spec.letter === 'J') d.relative = true;
    else {
      const first = form.operands[0];
      const integer = first !== undefined && 'EGRZBMfixed'.includes(first.letter);
      const width =
        first?.letter === 'I'
          ? spec.size === 16 || (spec.size === 8 && form.operands.length > 1)
            ? 16
            : this.#width
          : integer
            ? firstWidth
            : 8;
      if (width < 64) hi = 0;
      if (width === 16) lo &= 0xffff;
      if (width === 8) lo &= 0xff;
    }
    if (nth === 0) {
      d.immLo = lo;
      d.immHi = hi;
    } else d.disp = lo;
  }

  #dword(): number {
    return this.#byte() | (this.#byte() << 8) | (this.#byte() << 16) | (this.#byte() << 24);
  }

  #segmentOr(segment: number): number {
    if (this.#segment >= 0) return segmentSlot(this.#segment);
    return this.#long ? S.zero : segmentSlot(segment);
  }

  /** The absolute address of MOV's moffs forms. */
  #offset(): void {
    const d = this.decoded;
    const offset = this.#address === 16 ? this.#byte() | (this.#byte() << 8) : this.#dword();
    d.segment = this.#segmentOr(3);
    if (!this.#long) {
      // In compatibility mode the sum with the segment's base wraps at 4 GiB: glibc's TLS offsets are negative.
      d.disp = offset;
      d.prelude = this.#ea.a32;
      return;
    }
    d.preludeLo = offset;
    d.preludeHi = this.#address === 64 ? this.#dword() : 0;
    d.prelude = this.#ea.absolute;
  }

  #memory(modrm: number, isLea: boolean): void {
    const d = this.decoded;
    const mod = modrm >> 6;
    const rm = modrm & 7;
    let defaultSegment = 3;
    if (this.#address === 16) {
      const [base, index] = ADDRESS16[rm] ?? [-1, -1];
      if (mod === 0 && rm === 6) d.disp = ((this.#byte() | (this.#byte() << 8)) << 16) >> 16;
      else {
        d.base = gprSlot(base);
        if (index >= 0) d.index = gprSlot(index);
        if (base === 5) defaultSegment = 2;
        if (mod === 1) d.disp = (this.#byte() << 24) >> 24;
        if (mod === 2) d.disp = ((this.#byte() | (this.#byte() << 8)) << 16) >> 16;
      }
      d.prelude = this.#ea.a16;
      d.wrap = 16;
    } else {
      let base = rm;
      if (rm === 4) {
        const sib = this.#byte();
        base = sib & 7;
        const index = ((sib >> 3) & 7) | ((this.#rex & 2) << 2);
        if (index !== 4) {
          d.index = gprSlot(index);
          d.scale = sib >> 6;
        }
      }
      if (base === 5 && mod === 0) {
        d.disp = this.#dword();
        if (rm === 5 && this.#long) d.ripRelative = true;
      } else {
        const register = base | ((this.#rex & 1) << 3);
        d.base = gprSlot(register);
        if (register === 4 || register === 5) defaultSegment = 2;
        if (mod === 1) d.disp = (this.#byte() << 24) >> 24;
        else if (mod === 2) d.disp = this.#dword();
      }
      if (this.#address === 32) {
        d.prelude = this.#long ? (d.ripRelative ? this.#ea.rip32 : this.#ea.a32Flat) : this.#ea.a32;
        d.wrap = 32;
      }
    }
    d.segment = isLea ? S.zero : this.#segmentOr(defaultSegment);
  }
}
