/* Where the kernel enters the program, how it calls the kernel, and the functions that compilers expect to be there. */
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

/* rep movsb: what the compiler makes of a loop is several times as long. */
void *memcpy(void *to, const void *from, u64 length);
asm(".globl memcpy\n"
    "memcpy:\n"
    "  mov %rdi, %rax\n"
    "  mov %rdx, %rcx\n"
    "  rep movsb\n"
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

void *memmove(void *to, const void *from, u64 length) {
  u8 *target = to;
  const u8 *source = from;
  if (target <= source || target >= source + length) return memcpy(to, from, length);
  while (length-- > 0) target[length] = source[length];
  return to;
}

void *memset(void *at, int value, u64 length) {
  u8 *bytes = at;
  while (length-- > 0) *bytes++ = value;
  return at;
}

u64 length_of(const char *text) {
  const char *end = text;
  while (*end) end++;
  return end - text;
}

int begins_with(const char *text, const char *beginning) {
  while (*beginning)
    if (*text++ != *beginning++) return 0;
  return 1;
}

int same_text(const char *a, const char *b) {
  return begins_with(a, b) && length_of(a) == length_of(b);
}

char *append(char *at, const char *text) {
  u64 length = length_of(text);
  memcpy(at, text, length + 1);
  return at + length;
}

char *append_number(char *at, u64 number) {
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + number % 10;
  while ((number /= 10) > 0);
  while (count > 0) *at++ = digits[--count];
  *at = 0;
  return at;
}

void say(const char *text) {
  sys_write(2, text, length_of(text));
}

void pause_for(long milliseconds) {
  struct timespec time;
  time.seconds = milliseconds / 1000;
  time.nanoseconds = milliseconds % 1000 * 1000000;
  sys_nanosleep(&time);
}
