import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CpuUserRegs, VcpuGuestContext, VGCF_I387_VALID, VGCF_in_kernel, VGCF_online } from '../../abi/arch-x86.ts';
import { PvGuest, frames, stackTop, va } from './testing/pv-guest.ts';

const at = VcpuGuestContext.at;

describe("a vCPU's context", () => {
  it('is told as it was given', () => {
    const guest = new PvGuest().ready();
    const { vcpu, domain } = guest;
    const given = domain.u8.slice(vcpu.contextAt, vcpu.contextAt + VcpuGuestContext.size);
    vcpu.platform.saveContext(vcpu.contextAt);
    const { view } = domain;
    const context = VcpuGuestContext.read(view, vcpu.contextAt);
    assert.equal(context.flags, VGCF_I387_VALID | VGCF_in_kernel | VGCF_online);
    assert.deepEqual(context.ctrlreg[3], { lo: frames.l4 * 4096, hi: 0 });
    assert.deepEqual(context.ctrlreg[1], { lo: 0, hi: 0 });
    const regs = CpuUserRegs.read(view, vcpu.contextAt + at.user_regs);
    assert.deepEqual([regs.rip, regs.rsp, regs.rflags.lo], [va(frames.code), stackTop, 0x202]);
    // What a builder leaves out, Xen fills in; the floating-point registers are the same bytes.
    const fpu = domain.u8.slice(vcpu.contextAt, vcpu.contextAt + 24);
    assert.deepEqual(fpu, given.slice(0, 24));
  });

  it('loads again to the same state: registers, traps, callbacks, tables, bases', () => {
    const guest = new PvGuest({ user: true }).ready();
    const { vcpu, domain, pvState } = guest;
    const { state } = vcpu.processor;
    for (let gpr = 0; gpr < 16; gpr++) state.setLoHi(gpr, 0x1111_0000 + gpr, 0x8000_0000 + gpr);
    state.rip = va(30);
    state.rflags = 0xad7;
    Object.assign(state, { fsBase: 0x7f00_0000_1000, gsBase: -0x7000_0000 });
    pvState.setAddress('gsInactive', 0x7fff_0000);
    pvState.setTrap(14, 4, 0xe033, 0x81000000, 0xffffffff);
    for (const [field, value] of Object.entries({ kernelSp: va(9), eventCallback: va(31), failsafeCallback: va(32) }))
      pvState.setAddress(field as 'kernelSp', value);
    pvState.setWord('userCr3', frames.userL4);
    vcpu.set('ioplRing', 1);
    const save = (): Uint8Array => {
      vcpu.platform.saveContext(vcpu.contextAt);
      return domain.u8.slice(vcpu.contextAt, vcpu.contextAt + VcpuGuestContext.size);
    };
    const first = save();
    const regs = CpuUserRegs.read(domain.view, vcpu.contextAt + at.user_regs);
    assert.deepEqual(regs.r15, { lo: 0x1111_000f, hi: 0x8000_000f });
    assert.equal(regs.rflags.lo, 0x1ad7, 'the guest sees the IOPL that it asked for');
    const { gs_base_kernel, gs_base_user, ctrlreg } = VcpuGuestContext.read(domain.view, vcpu.contextAt);
    assert.deepEqual([gs_base_kernel, gs_base_user], [-0x7000_0000, 0x7fff_0000]);
    assert.equal(ctrlreg[1]?.lo, frames.userL4 * 4096);
    // As if it were another vCPU.
    for (let gpr = 0; gpr < 16; gpr++) state.set(gpr, 0);
    state.rflags = 0x202;
    pvState.clearTraps();
    vcpu.platform.loadContext(vcpu.contextAt);
    assert.deepEqual(save(), first);
  });
});
