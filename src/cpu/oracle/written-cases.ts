import type { Case } from './case-codec.ts';
import { Mode } from './layout.ts';
import { caseOf } from './written-case.ts';

/** Cases that no generator makes. */
interface Row {
  readonly name: string;
  readonly code: string;
  readonly settings?: string;
  readonly mode?: Mode;
}

const PTR = '0x20000040'; // a far pointer
const COUNT = '0x20000050';

export const WRITTEN: readonly Row[] = [
  // ---- code that changes itself: the next instruction sees it (SDM Vol. 3A, "Handling Self- and Cross-Modifying Code", one processor) ----
  { name: 'an instruction changes the immediate of the next', code: 'c6 05 01 00 00 00 2a b0 00' },
  { name: 'an instruction changes the opcode after the next', code: 'c7 05 02 00 00 00 48 ff c0 90 ff c3 90 90 90' },
  {
    name: 'a loop increments its own immediate',
    code: 'b8 01 00 00 00 fe 05 f5 ff ff ff ff 0c 25 50 00 00 20 75 ec',
    settings: `${COUNT}=05000000`,
  },
  {
    name: 'a string store overwrites the code behind it',
    code: 'b0 90 b9 04 00 00 00 48 8d 3d 02 00 00 00 f3 aa 0f 0b 0f 0b',
    settings: 'rax=0',
  },
  {
    name: 'a loop changes an instruction that crosses a page',
    code: 'b8 01 00 00 00 fe 05 f8 ff ff ff ff 0c 25 50 00 00 20 75 ec',
    settings: `${COUNT}=05000000 at=0x10000ffd`,
  },
  { name: 'a push writes over code', code: '48 8d 25 09 00 00 00 68 90 90 90 90 0f 0b 0f 0b 90 90 90 90' },
  {
    name: 'an instruction in a loop is replaced by a longer one',
    code: '66 c7 05 0b 00 00 00 ff c0 ff 0c 25 50 00 00 20 90 90 75 ed',
    settings: `${COUNT}=03000000`,
  },
  // ---- changing mode ----
  {
    name: 'a far jump to compatibility mode and back',
    code: 'ff 2c 25 40 00 00 20 40 ff 2d 48 00 00 20 48 ff c3',
    settings: `${PTR}=07080010_2300 0x20000048=0e0800103300 rax=0x1234567800000001 ds=0x2b`,
  },
  {
    name: 'the same bytes in both modes',
    code: '48 90 ff 0c 25 50 00 00 20 74 07 ff 2c 25 40 00 00 20',
    settings: `${PTR}=000800102300 ${COUNT}=02000000 rax=5 ds=0x2b`,
  },
  {
    name: 'a far call to compatibility mode and a far return',
    code: 'ff 1c 25 40 00 00 20 eb 03 40 40 cb ff c3',
    settings: `${PTR}=090800102300 rax=1`,
  },
  {
    name: 'a 64-bit IRET to compatibility mode',
    code: '6a 2b 68 00 08 00 30 68 d7 00 00 00 6a 23 68 1b 08 00 10 48 cf 90 90 90 90 90 90 40 40',
  },
  { name: 'a far jump with RPL 0', code: 'ff 2c 25 40 00 00 20 40', settings: `${PTR}=070800102000` },
  // ---- prefixes ----
  { name: 'fifteen bytes are one instruction', code: '66 66 66 66 66 66 66 66 66 66 66 66 66 66 90' },
  { name: 'sixteen bytes are too many', code: '66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90' },
  {
    name: 'fifteen prefixes and an opcode are too many',
    code: '66 66 66 66 66 66 66 66 66 66 66 66 66 48 01 d8',
    settings: 'rbx=7',
  },
  { name: 'REX before a legacy prefix counts for nothing', code: '48 66 01 d8', settings: 'rax=0x1ffff rbx=0x10001' },
  { name: 'the last REX counts', code: '48 41 01 d8', settings: 'rax=0x1ffffffff rbx=0x1 r8=0xffffffffffffffff' },
  { name: 'LOCK with a register destination', code: 'f0 01 d8' },
  { name: 'LOCK with MOV', code: 'f0 89 04 25 00 00 00 20' },
  { name: 'LOCK with a memory source', code: 'f0 03 04 25 00 00 00 20' },
  { name: 'LOCK NOP', code: 'f0 90' },
  { name: 'XACQUIRE LOCK', code: 'f2 f0 01 04 25 00 00 00 20', settings: 'rax=3' },
  { name: 'REX.W wins over 66', code: '66 48 01 d8', settings: 'rax=0x1ffff rbx=0x10001' },
  {
    name: 'F2 wins over 66, and 66 is ignored, in ADDSD',
    code: '66 f2 0f 58 c1',
    settings: 'xmm0=3ff0000000000000 xmm1=4000000000000000',
  },
  { name: 'the last of F2 and F3 counts', code: 'f2 f3 0f 58 c1', settings: 'xmm0=3f800000 xmm1=40000000' },
  {
    name: 'the last of F3 and F2 counts',
    code: 'f3 f2 0f 58 c1',
    settings: 'xmm0=3ff0000000000000 xmm1=4000000000000000',
  },
  { name: 'the last segment prefix counts', code: '64 65 8b 04 25 00 00 00 20', settings: 'fsbase=0x100 gsbase=0x200' },
  { name: 'ES after FS, in 64-bit mode', code: '64 26 8b 04 25 00 00 00 20', settings: 'fsbase=0x100' },
  { name: 'a 32-bit address relative to RIP', code: '67 8b 05 f8 f7 ff 8f' },
  // ---- the stack ----
  { name: 'PUSH RSP stores the old value', code: '54' },
  { name: 'POP RSP loads the value', code: '5c' },
  { name: 'POP to [RSP] uses the new RSP', code: '8f 44 24 08' },
  { name: 'POP to [RSP] that faults leaves RSP', code: '8f 84 24 00 00 10 00' },
  { name: 'PUSH from [RSP]', code: 'ff 34 24' },
  { name: 'CALL [RSP+8]', code: 'ff 54 24 08', settings: '0x30000808=0009001000000000' },
  { name: 'LEAVE with a bad RBP leaves RSP', code: 'c9', settings: 'rbp=0x1000' },
  { name: 'XCHG RSP', code: '48 94 50', settings: 'rax=0x30000900' },
  // ---- operands that are the same ----
  { name: 'XADD of a register with itself', code: '0f c1 c0', settings: 'rax=0xffffffff80000001' },
  {
    name: 'CMPXCHG that fails still writes 32 bits',
    code: '0f b1 d3',
    settings: 'rax=0xffffffff00000001 rbx=0xffffffff00000002 rdx=3',
  },
  {
    name: 'CMPXCHG that succeeds leaves RAX',
    code: '0f b1 d3',
    settings: 'rax=0xffffffff00000001 rbx=0xffffffff00000001 rdx=3',
  },
  { name: 'CMOV that does not move clears the upper half', code: '0f 44 c3', settings: 'rax=0xffffffff00000001 rbx=2' },
  {
    name: 'SHLD by 0 clears the upper half of the destination, or not',
    code: '0f a4 d8 20',
    settings: 'rax=0xffffffff00000001',
  },
  {
    name: 'SHL by 0 clears the upper half of the destination, or not',
    code: 'c1 e0 00',
    settings: 'rax=0xffffffff00000001',
  },
  { name: 'BSF of zero leaves the destination', code: '0f bc c3', settings: 'rax=0xffffffff00000001 rbx=0xf00000000' },
  {
    name: 'MULX with both destinations the same keeps the high half',
    code: 'c4 e2 fb f6 c3',
    settings: 'rax=1 rdx=0x8000000000000001 rbx=5',
  },
  { name: 'CMPXCHG16B of an odd address', code: '48 0f c7 0c 25 08 00 00 20' },
  { name: 'XLAT with a negative-looking AL', code: 'd7', settings: 'rbx=0x20000f00 rax=0xffffffffffffffff' },
  // ---- exceptions ----
  {
    name: 'a pending x87 exception is raised by the next waiting instruction',
    code: 'd9 e8 d9 ee de f9 90 9b',
    settings: 'fcw=0x37b',
  },
  { name: 'a pending x87 exception is raised by MMX', code: 'd9 e8 d9 ee de f9 0f 6f c1', settings: 'fcw=0x37b' },
  { name: 'FNSTSW does not wait for a pending exception', code: 'd9 e8 d9 ee de f9 df e0', settings: 'fcw=0x37b' },
  { name: 'a single step after POPF', code: '9c 80 4c 24 01 01 9d 90 90' },
  { name: 'POPF cannot change IF or IOPL', code: '68 00 32 00 00 9d 9c 58' },
  { name: 'POPF changes AC and ID', code: '68 00 02 20 00 9d 9c 58' },
  { name: 'AAM 0', code: 'd4 00', mode: Mode.compat32 },
  { name: 'INTO with OF', code: 'ce', settings: 'rflags=0xa02', mode: Mode.compat32 },
  { name: 'INTO without OF', code: 'ce', mode: Mode.compat32 },
  {
    name: 'BOUND out of range',
    code: '62 05 00 00 00 20',
    settings: 'rax=0x7fffffff 0x20000000=0000000001000000',
    mode: Mode.compat32,
  },
  {
    name: 'BOUND within range',
    code: '62 05 00 00 00 20',
    settings: 'rax=1 0x20000000=0000000001000000',
    mode: Mode.compat32,
  },
  { name: 'smallest integer divided by -1', code: '48 f7 fb', settings: 'rax=0 rdx=0x8000000000000000 rbx=-1' },
  { name: 'INT3', code: 'cc' },
  { name: 'UD2', code: '0f 0b' },
  { name: 'HLT', code: 'f4' },
  { name: 'a jump to an address that is not canonical', code: 'ff e0', settings: 'rax=0x800000000000' },
  {
    name: 'a call to an address that is not canonical leaves the stack',
    code: 'ff d0',
    settings: 'rax=0x800000000000',
  },
  { name: 'a jump to an unmapped page', code: 'ff e0', settings: 'rax=0x10002000' },
  { name: 'a jump to a page that is not executable', code: 'ff e0', settings: 'rax=0x20000000' },
  // ---- strings ----
  {
    name: 'REP MOVS stops in the middle at an unmapped page',
    code: 'f3 48 a5',
    settings: 'rcx=20 rsi=0x20000010 rdi=0x20001fb0',
  },
  { name: 'REP STOS downward into an unmapped page', code: 'fd f3 aa', settings: 'rcx=20 rdi=0x20000008' },
  { name: 'REP STOS over code that runs next', code: 'f3 aa 0f 0b 90', settings: 'rcx=2 rdi=0x10000802 rax=0x90' },
  {
    name: 'REP with a 32-bit address clears the upper halves',
    code: '67 f3 a4',
    settings: 'rcx=0x500000002 rsi=0x520000010 rdi=0x520000020',
  },
  {
    name: 'REP with a 32-bit address and no rounds',
    code: '67 f3 a4',
    settings: 'rcx=0x500000000 rsi=0x520000010 rdi=0x520000020',
  },
  { name: 'REPNE SCAS finds', code: 'f2 ae', settings: 'rcx=100 rdi=0x20000000 rax=0 0x20000010=00' },
  {
    name: 'REPE CMPS with no rounds leaves the flags',
    code: 'f3 a6',
    settings: 'rcx=0 rflags=0x2d7 rsi=0x20000000 rdi=0x20000000',
  },
];

export function writtenCase(row: Row): Case {
  const settings = row.settings?.replaceAll('_', '').split(' ') ?? [];
  return { ...caseOf(row.code, settings, row.mode ?? Mode.long64), branches: true };
}
