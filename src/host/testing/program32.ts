/**
 * A 32-bit program without a libc, for what busybox does not do: system calls by every way into the kernel that 32-bit code has under a 64-bit
 * kernel, and a second thread in the same memory. It prints a line for each.
 */
const LOAD_AT = 0x804_8000;
const CODE = 0x54;
const MEMORY = 0x2000; // the thread's stack grows down from its end

/** Address, bytes, and what they mean in AT&T syntax; a `;` begins a remark. */
const code = `
           ; write(1, …) by int 0x80
  8048054  b8 04 00 00 00     mov $0x4,%eax
  8048059  bb 01 00 00 00     mov $0x1,%ebx
  804805e  b9 1e 81 04 08     mov $0x804811e,%ecx
  8048063  ba 09 00 00 00     mov $0x9,%edx
  8048068  cd 80              int $0x80
           ; the auxiliary vector: past the arguments …
  804806a  89 e6              mov %esp,%esi
  804806c  ad                 lods %ds:(%esi),%eax
  804806d  85 c0              test %eax,%eax
  804806f  75 fb              jne 0x804806c
           ; … and the environment …
  8048071  ad                 lods %ds:(%esi),%eax
  8048072  85 c0              test %eax,%eax
  8048074  75 fb              jne 0x8048071
           ; … the pair AT_SYSINFO (32): __kernel_vsyscall
  8048076  ad                 lods %ds:(%esi),%eax
  8048077  89 c7              mov %eax,%edi
  8048079  ad                 lods %ds:(%esi),%eax
  804807a  83 ff 20           cmp $0x20,%edi
  804807d  75 f7              jne 0x8048076
  804807f  a3 38 81 04 08     mov %eax,0x8048138
           ; write(1, …) through it
  8048084  b8 04 00 00 00     mov $0x4,%eax
  8048089  bb 01 00 00 00     mov $0x1,%ebx
  804808e  b9 27 81 04 08     mov $0x8048127,%ecx
  8048093  ba 05 00 00 00     mov $0x5,%edx
  8048098  ff 15 38 81 04 08  call *0x8048138
           ; clone(VM | FS | FILES | SIGHAND | THREAD | CHILD_CLEARTID); by int 0x80, since the vdso pops what only the parent has pushed
  804809e  b8 78 00 00 00     mov $0x78,%eax
  80480a3  bb 00 0f 21 00     mov $0x210f00,%ebx
  80480a8  b9 00 a0 04 08     mov $0x804a000,%ecx
  80480ad  31 d2              xor %edx,%edx
  80480af  31 f6              xor %esi,%esi
  80480b1  bf 3c 81 04 08     mov $0x804813c,%edi
  80480b6  cd 80              int $0x80
  80480b8  85 c0              test %eax,%eax
  80480ba  74 43              je 0x80480ff
           ; the parent: futex(FUTEX_WAIT) until the kernel clears the word at the child's end
  80480bc  8b 15 3c 81 04 08  mov 0x804813c,%edx
  80480c2  85 d2              test %edx,%edx
  80480c4  74 16              je 0x80480dc
  80480c6  b8 f0 00 00 00     mov $0xf0,%eax
  80480cb  bb 3c 81 04 08     mov $0x804813c,%ebx
  80480d0  31 c9              xor %ecx,%ecx
  80480d2  31 f6              xor %esi,%esi
  80480d4  ff 15 38 81 04 08  call *0x8048138
  80480da  eb e0              jmp 0x80480bc
           ; write(1, …)
  80480dc  b8 04 00 00 00     mov $0x4,%eax
  80480e1  bb 01 00 00 00     mov $0x1,%ebx
  80480e6  b9 33 81 04 08     mov $0x8048133,%ecx
  80480eb  ba 04 00 00 00     mov $0x4,%edx
  80480f0  ff 15 38 81 04 08  call *0x8048138
           ; exit_group(0)
  80480f6  b8 fc 00 00 00     mov $0xfc,%eax
  80480fb  31 db              xor %ebx,%ebx
  80480fd  cd 80              int $0x80
           ; the child: write(1, …)
  80480ff  b8 04 00 00 00     mov $0x4,%eax
  8048104  bb 01 00 00 00     mov $0x1,%ebx
  8048109  b9 2c 81 04 08     mov $0x804812c,%ecx
  804810e  ba 07 00 00 00     mov $0x7,%edx
  8048113  cd 80              int $0x80
           ; exit(0)
  8048115  b8 01 00 00 00     mov $0x1,%eax
  804811a  31 db              xor %ebx,%ebx
  804811c  cd 80              int $0x80
`;

/** Behind the code; the addresses are in it. */
const messages = 'int 0x80\nvdso\nthread\nend\n';
const SYSINFO = 0x804_8138;
const THREAD_ID = 0x804_813c; // not 0 while the thread lives
const SEGMENTS = THREAD_ID + 4 - LOAD_AT; // two Elf32_Phdr
const SEGMENT_SIZE = 0x20;

export function program32(): Uint8Array {
  const bytes = code
    .split('\n')
    .flatMap((line) => /^ +[0-9a-f]+ {2}((?:[0-9a-f]{2} )+)/.exec(line)?.[1]?.trim().split(' ') ?? [])
    .map((byte) => Number.parseInt(byte, 16));
  const file = new Uint8Array(SEGMENTS + 2 * SEGMENT_SIZE);
  const view = new DataView(file.buffer);
  const words = (at: number, ...values: readonly number[]): void =>
    values.forEach((value, i) => view.setUint32(at + i * 4, value, true));
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]); // ELFCLASS32, little-endian
  view.setUint16(0x10, 2, true); // ET_EXEC
  view.setUint16(0x12, 3, true); // EM_386
  words(0x14, 1, LOAD_AT + CODE, SEGMENTS); // version, entry, e_phoff
  view.setUint16(0x28, 0x34, true); // e_ehsize
  view.setUint16(0x2a, SEGMENT_SIZE, true); // e_phentsize
  view.setUint16(0x2c, 2, true); // e_phnum
  words(SEGMENTS, 1, 0, LOAD_AT, LOAD_AT, file.length, MEMORY, 7, 0x1000); // PT_LOAD, readable, writable, executable
  words(SEGMENTS + SEGMENT_SIZE, 0x6474_e551, 0, 0, 0, 0, 0, 6, 0x10); // PT_GNU_STACK: not executable
  file.set(bytes, CODE);
  file.set(Buffer.from(messages), CODE + bytes.length);
  if (CODE + bytes.length + messages.length > SYSINFO - LOAD_AT)
    throw new Error('program32: the code overlaps its data');
  words(THREAD_ID - LOAD_AT, 1);
  return file;
}
