/* What has to be written for the processor: where the kernel enters the program, how it calls the kernel, and loops over bytes, which a compiler that does not
   optimize makes several times as long. */
#include "agent.h"

/* System V ABI to system calls: rdi number, rsi… arguments → rax number, rdi, rsi, rdx, r10, r8, r9. */
asm(".globl system_call\n"
    "system_call:\n"
    "  mov %rdi, %rax\n"
    "  mov %rsi, %rdi\n"
    "  mov %rdx, %rsi\n"
    "  mov %rcx, %rdx\n"
    "  mov %r8, %r10\n"
    "  mov %r9, %r8\n"
    "  mov 8(%rsp), %r9\n"
    "  syscall\n"
    "  ret\n");

/* 0x4111 is CLONE_VFORK | CLONE_VM | SIGCHLD. The child is on its own stack, so the parent's return address stays whole. */
asm(".globl spawn\n"
    "spawn:\n"
    "  mov %rsi, %r8\n"
    "  mov %rdx, %r9\n"
    "  mov %rdi, %rsi\n"
    "  mov $0x4111, %edi\n"
    "  xor %edx, %edx\n"
    "  xor %r10d, %r10d\n"
    "  mov $56, %eax\n"
    "  syscall\n"
    "  test %rax, %rax\n"
    "  jnz 1f\n"
    "  xor %ebp, %ebp\n"
    "  mov %r9, %rdi\n"
    "  call *%r8\n"
    "  mov $127, %edi\n"
    "  mov $231, %eax\n"
    "  syscall\n"
    "1:\n"
    "  ret\n");

/* At the entry the stack holds argc, argv, 0, the environment, 0. */
asm(".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call start_agent\n");

asm(".globl memcpy\n"
    "memcpy:\n"
    "  mov %rdi, %rax\n"
    "  mov %rdx, %rcx\n"
    "  rep movsb\n"
    "  ret\n");

asm(".globl memset\n"
    "memset:\n"
    "  mov %rdi, %r8\n"
    "  mov %esi, %eax\n"
    "  mov %rdx, %rcx\n"
    "  rep stosb\n"
    "  mov %r8, %rax\n"
    "  ret\n");

/* CRC-32C of so many bytes, by the processor's instruction for it: crc32q (%rdi), %rax and crc32b (%rdi), %eax, which not every assembler knows. */
asm(".globl crc_by_processor\n"
    "crc_by_processor:\n"
    "  mov $0xffffffff, %eax\n"
    "1:\n"
    "  cmp $8, %rsi\n"
    "  jb 2f\n"
    "  .byte 0xf2, 0x48, 0x0f, 0x38, 0xf1, 0x07\n"
    "  add $8, %rdi\n"
    "  sub $8, %rsi\n"
    "  jmp 1b\n"
    "2:\n"
    "  test %rsi, %rsi\n"
    "  jz 3f\n"
    "  .byte 0xf2, 0x0f, 0x38, 0xf0, 0x07\n"
    "  inc %rdi\n"
    "  dec %rsi\n"
    "  jmp 2b\n"
    "3:\n"
    "  not %eax\n"
    "  ret\n");

/* SSE4.2 has it: CPUID leaf 1, ECX bit 20. */
asm(".globl processor_has_crc\n"
    "processor_has_crc:\n"
    "  push %rbx\n"
    "  mov $1, %eax\n"
    "  cpuid\n"
    "  mov %ecx, %eax\n"
    "  shr $20, %eax\n"
    "  and $1, %eax\n"
    "  pop %rbx\n"
    "  ret\n");
