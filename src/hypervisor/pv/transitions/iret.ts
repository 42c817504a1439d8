/** HYPERVISOR_iret: the simple case of ../iret.ts, from and to 64-bit code with Xen's flat segments. */
import { HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START, VGCF_in_syscall, VcpuInfo } from '../../../abi/arch-x86.ts';
import { FLAT_KERNEL_CS, IretContext, RFLAGS, VMASST_TYPE } from '../../../abi/arch-x86/xen-x86_64.ts';
import { PAGE_SIZE } from '../../../abi/numbers.ts';
import { Exit } from '../../../cpu/exits.ts';
import { Access, Mode, S } from '../../../cpu/index.ts';
import { View } from '../../../cpu/state-layout.ts';
import { I32, type I64 } from '../../../cpu/wasm/value.ts';
import { Gpr } from '../../processor.ts';
import { LONG_CODE_SEGMENT } from '../descriptors.ts';
import { LOADABLE, RFLAGS_RESERVED_1 } from '../iret.ts';
import { Seg } from '../pv-vcpu.ts';
import type { Entry } from './entry.ts';
import { notCanonical, type VcpuCode } from './vcpu-code.ts';

const USER_VIEW = S.views + View.size;
/** Bit of a selector: the descriptor is in the LDT (SDM Vol. 3A, "Segment Selectors"). */
const TABLE_INDICATOR = 4;
const { at: field, size: SIZE } = IretContext;

/** Not __addr_ok: Xen's own, or none at all. */
const notOkay = (va: I64): I32 => notCanonical(va).or(va.geS(HYPERVISOR_VIRT_START).and(va.ltS(HYPERVISOR_VIRT_END)));

/** Whether the guest's GDT has a 64-bit code segment under this selector, as the descriptor of user mode's usually is. */
function isLongCode(v: VcpuCode, selector: I32): I32 {
  const { c, vcpu } = v;
  const is = c.variable(selector.type, I32.of(0));
  const index = c.let(selector.shrU(3));
  // An LDT's are not looked at, nor is what Xen has in its own part of the table.
  const inTable = selector
    .and(TABLE_INDICATOR)
    .eqz()
    .and(index.ltU(v.pvWord('gdtEnts')));
  c.if(inTable, () => {
    const page = vcpu.add(index.shrU(9).shl(2)).load32(S.gdtFrames);
    const descriptor = page.add(index.and(511).shl(3)).load32(4);
    is.set(descriptor.and(LONG_CODE_SEGMENT).eq(LONG_CODE_SEGMENT));
  });
  return is.get;
}

/** Ends the function: with the guest going on, or with Exit.Syscall and nothing changed. */
export function iret(v: VcpuCode, entry: Entry, instructions: I32): void {
  const { c, vcpu, services } = v;
  const refuseIf = (condition: I32): void => c.if(condition, () => c.return(I32.of(Exit.Syscall)));
  const rsp = c.let(v.gpr(Gpr.rsp));
  const offset = c.let(rsp.wrap().and(PAGE_SIZE - 1));
  refuseIf(offset.and(7).or(offset.gtU(PAGE_SIZE - SIZE)));
  refuseIf(notOkay(rsp).or(notOkay(c.let(rsp.add(SIZE)))));
  const at = c.let(c.call(services.translate, vcpu, rsp, I32.of(Access.read)));
  refuseIf(at.eqz());
  // Read once: another vCPU may change the frame meanwhile.
  const word = (name: keyof typeof field): I64 => c.let(at.load64(field[name]));
  const [rax, r11, rcx, rip, newRsp] = [word('rax'), word('r11'), word('rcx'), word('rip'), word('rsp')];
  const flags = c.let(at.load32(field.flags));
  const rflags = c.let(at.load32(field.rflags));
  const cs = c.let(at.load16U(field.cs));
  const ss = c.let(at.load16U(field.ss));
  const toUser = c.let(cs.and(3).eq(3));
  c.if(cs.or(3).ne(FLAT_KERNEL_CS), () => refuseIf(isLongCode(v, cs).eqz()));
  refuseIf(rflags.and(RFLAGS.TF).or(v.pvWord('nmiPending')).or(notCanonical(rip)));
  c.if(toUser, () => {
    refuseIf(v.pvWord('userCr3').eqz());
    refuseIf(v.pvWord('userTlbStale').or(vcpu.load32(USER_VIEW + View.mode).ne(Mode.long64)));
    v.toggleMode('user');
  });
  c.if(v.assisted(VMASST_TYPE.architectural_iopl), () => v.setWord('ioplRing', rflags.and(RFLAGS.IOPL).shrU(12)));
  c.if(
    flags.and(VGCF_in_syscall),
    () => {
      // Left as SYSRET leaves them: the target and its flags.
      v.setGpr(Gpr.rcx, rip);
      v.setGpr(
        Gpr.r11,
        rflags
          .and(~(RFLAGS.IOPL | RFLAGS.VM))
          .or(RFLAGS.IF)
          .extendU(),
      );
    },
    () => {
      v.setGpr(Gpr.rcx, rcx);
      v.setGpr(Gpr.r11, r11);
    },
  );
  v.setGpr(Gpr.rax, rax);
  v.setGpr(Gpr.rsp, newRsp);
  c.store64(vcpu, rip, S.rip);
  c.do(services.writeFlags, vcpu, rflags.and(LOADABLE).or(RFLAGS.IF | RFLAGS_RESERVED_1));
  const info = c.let(v.word('infoAt'));
  c.if(info, () => {
    const masks = c.let(rflags.and(RFLAGS.IF).eqz());
    c.if(info.load8U(VcpuInfo.at.evtchn_upcall_mask).ne(0).ne(masks), () =>
      c.store8(info, masks, VcpuInfo.at.evtchn_upcall_mask),
    );
  });
  v.setPvWord('nmiMasked', 0);
  v.setSelector(Seg.cs, cs.or(3));
  v.setSelector(Seg.ss, ss.or(3));
  c.returnCall(entry.goOn, vcpu, instructions);
}
