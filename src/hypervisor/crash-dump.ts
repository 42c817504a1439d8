/** A crashed guest's last state, printed as Xen does (xen/arch/x86/x86_64/traps.c, show_registers and show_guest_stack). */
import type { Vaddr } from '../abi/numbers.ts';
import { hexAddress } from '../abi/numbers.ts';
import type { Symbolizer } from './control.ts';

export interface CrashDump {
  readonly domid: number;
  readonly vcpu: number;
  /** Why: the line before the registers, or empty. */
  readonly reason: string;
  readonly userMode: boolean;
  readonly rip: Vaddr;
  readonly rflags: number;
  /** By x86 number, as 16 hex digits each. */
  readonly gpr: readonly string[];
  readonly cr0: number;
  readonly cr2: Vaddr;
  readonly cr3: number;
  readonly cr4: number;
  readonly fsBase: Vaddr;
  readonly gsBase: Vaddr;
  readonly gsShadow: Vaddr;
  /** ES, CS, SS, DS, FS, GS in the order of their x86 numbers. */
  readonly selectors: readonly number[];
  readonly stackAt: Vaddr;
  /** Words from `stackAt` up, signed; ends where the stack is not mapped. */
  readonly stack: readonly Vaddr[];
  readonly stackText: readonly string[];
}

const STACK_WORDS_PER_LINE = 4;

/** The lines for the log, without their `(XEN) ` prefix. */
export function formatCrash(dump: CrashDump, version: string, symbolize?: Symbolizer): string[] {
  const { domid, vcpu, gpr } = dump;
  const reg = (number: number): string => gpr[number] ?? '????????????????';
  const selector = (number: number): string => (dump.selectors[number] ?? 0).toString(16).padStart(4, '0');
  const named = (va: Vaddr): string => {
    const symbol = symbolize?.(va);
    return symbol ? ` ${symbol.name}+${symbol.offset.toString(16)}/${symbol.size.toString(16)}` : '';
  };
  const control = (value: number): string => value.toString(16).padStart(16, '0');
  const lines = [
    ...(dump.reason ? [dump.reason] : []),
    `Domain ${domid} (vcpu#${vcpu}) crashed on cpu#${vcpu}:`,
    `----[ Xen-${version}  x86_64  debug=n  Not tainted ]----`,
    `CPU:    ${vcpu}`,
    `RIP:    ${selector(1)}:[<${hexAddress(dump.rip)}>]${named(dump.rip)}`,
    `RFLAGS: ${control(dump.rflags)}   EM: ${dump.userMode ? 0 : 1}   CONTEXT: pv guest (d${domid}v${vcpu})`,
    `rax: ${reg(0)}   rbx: ${reg(3)}   rcx: ${reg(1)}`,
    `rdx: ${reg(2)}   rsi: ${reg(6)}   rdi: ${reg(7)}`,
    `rbp: ${reg(5)}   rsp: ${reg(4)}   r8:  ${reg(8)}`,
    `r9:  ${reg(9)}   r10: ${reg(10)}   r11: ${reg(11)}`,
    `r12: ${reg(12)}   r13: ${reg(13)}   r14: ${reg(14)}`,
    `r15: ${reg(15)}   cr0: ${control(dump.cr0)}   cr4: ${control(dump.cr4)}`,
    `cr3: ${control(dump.cr3)}   cr2: ${hexAddress(dump.cr2)}`,
    `fsb: ${hexAddress(dump.fsBase)}   gsb: ${hexAddress(dump.gsBase)}   gss: ${hexAddress(dump.gsShadow)}`,
    `ds: ${selector(3)}   es: ${selector(0)}   fs: ${selector(4)}   gs: ${selector(5)}   ss: ${selector(2)}   cs: ${selector(1)}`,
    `Guest stack trace from rsp=${hexAddress(dump.stackAt)}:`,
  ];
  for (let i = 0; i < dump.stackText.length; i += STACK_WORDS_PER_LINE) {
    lines.push(`   ${dump.stackText.slice(i, i + STACK_WORDS_PER_LINE).join(' ')}`);
  }
  if (dump.stackText.length === 0) lines.push('    Stack empty.');
  // Xen leaves it at the words. With the kernel's symbols at hand, those that point into its text are the call trace.
  const frames = symbolize ? dump.stack.filter((word) => symbolize(word) !== undefined) : [];
  if (frames.length > 0) lines.push('Guest call trace:', ...frames.map((va) => `   [<${hexAddress(va)}>]${named(va)}`));
  return lines;
}
