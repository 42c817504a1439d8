/** The hypercall page of a 64-bit PV guest: 128 stubs of 32 bytes. After hvm_hypercall_page_initialise's PV twin, xen/arch/x86/pv/hypercall.c. */
const SLOT = 32;
const SLOTS = 128;
const IRET = 23;

const PUSH_RCX = [0x51];
const PUSH_R11 = [0x41, 0x53];
const PUSH_RAX = [0x50];
const POP_R11 = [0x41, 0x5b];
const POP_RCX = [0x59];
const SYSCALL = [0x0f, 0x05];
const RET = [0xc3];
const INT3 = 0xcc;
const movEax = (value: number): number[] => [0xb8, value, 0, 0, 0];

export function hypercallPage(): Uint8Array {
  const page = new Uint8Array(SLOT * SLOTS).fill(INT3);
  for (let nr = 0; nr < SLOTS; nr++) {
    // iret takes RAX, R11 and RCX from the stack, in the order of struct iret_context, and never comes back.
    const stub =
      nr === IRET
        ? [...PUSH_RCX, ...PUSH_R11, ...PUSH_RAX, ...movEax(nr), ...SYSCALL]
        : [...PUSH_RCX, ...PUSH_R11, ...movEax(nr), ...SYSCALL, ...POP_R11, ...POP_RCX, ...RET];
    page.set(stub, nr * SLOT);
  }
  return page;
}
