/*
 * Runs test cases on the real processor. Reads a stream of cases from standard input and writes one result for each to standard output.
 * The formats are declared in layout.ts and case-codec.ts; all integers are little-endian.
 *
 * A case is a complete user-mode state, some bytes of code and a few bytes of memory. Order of events for one case:
 *   patch the image -> write the code and a terminator after it -> load all registers and jump -> the terminator jumps back, or a signal
 *   arrives -> save all registers -> compare the image with what it was, report and undo the differences.
 *
 * All general registers including RSP, and FS/GS, belong to the test, so between enter_case and its return nothing may use the C stack or
 * thread-local storage. The program is linked at its fixed low address (-no-pie): code that runs with test registers, also in
 * compatibility mode, reaches `in` and `out` by absolute 32-bit addresses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ES, CS, SS, DS, FS, GS };
enum { STOP_END, STOP_TRAP, STOP_TIMEOUT };
enum { MODE_LONG64, MODE_COMPAT32 };
enum { CS_COMPAT32 = 0x23, CS_LONG64 = 0x33 };

struct state {
  uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
  uint64_t rflags, rip, fs_base, gs_base;
  uint16_t selector[8];
  uint8_t fx[512];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct state) == 688, "state layout of layout.ts");

struct stream_header {
  uint32_t magic, region_count;
  uint64_t code_at;
  uint32_t code_size, image_size;
};
struct region {
  uint64_t at;
  uint32_t image_offset, size, writable, reserved;
};
struct case_header {
  uint32_t size;
  uint16_t mode, code_length;
  uint32_t patch_count, branches; /* branches: may land right after itself, where a terminator would lie */
};
struct piece {
  uint32_t offset, length;
};
struct result_header {
  uint32_t size;
  uint16_t stop, trap;
  uint32_t error_code, change_count;
  uint64_t fault_address;
};

/* Used by the assembly below. */
struct state in, out;
uint64_t host_rsp, host_fs, host_gs;
uint32_t fsgsbase_usable;
uint32_t default_mxcsr = 0x1f80;
uint64_t exit_pointer;
struct {
  uint32_t offset;
  uint16_t selector;
} __attribute__((packed)) far_entry, far_exit;

static struct result_header result;
static volatile uint32_t case_number;
static int image_fd;

int enter_case(void);
int leave_case(void);
void leave_by_signal(void) __attribute__((noreturn));
extern char __executable_start, etext;

__asm__(
    ".text\n"
    ".globl enter_case, leave_case, leave_by_signal\n"
    "enter_case:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsp, host_rsp\n"
    "  mov in+160+6, %ds\n"
    "  mov in+160+0, %es\n"
    "  cmpl $0, fsgsbase_usable\n"
    "  je 1f\n"
    "  mov in+160+8, %fs\n"
    "  mov in+160+10, %gs\n"
    "  mov in+144, %rax; wrfsbase %rax\n"
    "  mov in+152, %rax; wrgsbase %rax\n"
    "1: fxrstor64 in+176\n"
    "  testl $0x100, in+128\n"
    "  jnz 5f\n"
    "  cmpw $0x23, in+160+2\n"
    "  push in+128\n"
    "  mov in+8, %rcx; mov in+16, %rdx; mov in+24, %rbx; mov in+40, %rbp; mov in+48, %rsi; mov in+56, %rdi\n"
    "  mov in+64, %r8; mov in+72, %r9; mov in+80, %r10; mov in+88, %r11; mov in+96, %r12; mov in+104, %r13\n"
    "  mov in+112, %r14; mov in+120, %r15; mov in+0, %rax\n"
    "  je 2f\n"
    "  popfq\n"
    "  mov in+32, %rsp\n"
    "  jmp *in+136\n"
    "2: popfq\n"
    "  mov in+32, %rsp\n"
    "  ljmpl *far_entry\n"

    /* With TF only IRET will do: any other way back to the test would be stepped itself. */
    "5: pushq $0x2b; push in+32; push in+128; movzwl in+160+2, %eax; push %rax; push in+136\n"
    "  mov in+8, %rcx; mov in+16, %rdx; mov in+24, %rbx; mov in+40, %rbp; mov in+48, %rsi; mov in+56, %rdi\n"
    "  mov in+64, %r8; mov in+72, %r9; mov in+80, %r10; mov in+88, %r11; mov in+96, %r12; mov in+104, %r13\n"
    "  mov in+112, %r14; mov in+120, %r15; mov in+0, %rax\n"
    "  iretq\n"

    "leave_case:\n" /* from the terminator: all registers are the test's */
    "  mov %rsp, out+32\n"
    "  mov host_rsp, %rsp\n"
    "  pushfq; pop out+128; cld\n"
    "  mov %rax, out+0; mov %rcx, out+8; mov %rdx, out+16; mov %rbx, out+24; mov %rbp, out+40; mov %rsi, out+48\n"
    "  mov %rdi, out+56; mov %r8, out+64; mov %r9, out+72; mov %r10, out+80; mov %r11, out+88; mov %r12, out+96\n"
    "  mov %r13, out+104; mov %r14, out+112; mov %r15, out+120\n"
    "  fxsave64 out+176\n"
    "  xor %eax, %eax\n"
    "  jmp 3f\n"
    "leave_by_signal:\n" /* from the signal handler, which has filled `out` */
    "  mov host_rsp, %rsp\n"
    "  mov $1, %eax\n"
    "3: mov %es, out+160+0; mov %ss, out+160+4; mov %ds, out+160+6; mov %fs, out+160+8; mov %gs, out+160+10\n"
    "  cmpl $0, fsgsbase_usable\n"
    "  je 4f\n"
    "  rdfsbase %rcx; mov %rcx, out+144\n"
    "  rdgsbase %rcx; mov %rcx, out+152\n"
    "  xor %ecx, %ecx; mov %ecx, %fs; mov %ecx, %gs\n"
    "  mov host_fs, %rcx; wrfsbase %rcx\n"
    "  mov host_gs, %rcx; wrgsbase %rcx\n"
    "4: fninit\n"
    "  ldmxcsr default_mxcsr\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n");

static void die(const char *what) {
  fprintf(stderr, "harness: %s (%s)\n", what, strerror(errno));
  exit(2);
}

/* Copies without the C library, which might use what the test has changed. */
static void copy(void *to, const void *from, size_t n) { __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory"); }

static int in_harness(const ucontext_t *uc) {
  uint64_t rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
  return rip >= (uint64_t)&__executable_start && rip < (uint64_t)&etext;
}

static void take_state(const ucontext_t *uc) {
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  const greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) out.gpr[i] = (uint64_t)g[order[i]];
  out.rflags = (uint64_t)g[REG_EFL];
  out.rip = (uint64_t)g[REG_RIP];
  out.selector[CS] = (uint16_t)g[REG_CSGSFS];
  copy(out.fx, uc->uc_mcontext.fpregs, sizeof out.fx);
}

static void on_trap(int signal, siginfo_t *info, void *context) {
  const ucontext_t *uc = context;
  const greg_t *g = uc->uc_mcontext.gregs;
  (void)info;
  (void)signal;
  if (in_harness(uc) && g[REG_RIP] != (greg_t)(uint64_t)&leave_case) {
    static const char text[] = "harness: fault in the harness itself\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(3);
  }
  take_state(uc);
  result.stop = STOP_TRAP;
  result.trap = (uint16_t)g[REG_TRAPNO];
  result.error_code = (uint32_t)g[REG_ERR];
  result.fault_address = (uint64_t)g[REG_CR2];
  leave_by_signal();
}

/* A case that is still the same after a whole period does not come to an end. */
static void on_tick(int signal, siginfo_t *info, void *context) {
  static uint32_t seen;
  (void)info;
  (void)signal;
  if (in_harness(context) || seen != case_number) {
    seen = case_number;
    return;
  }
  take_state(context);
  result.stop = STOP_TIMEOUT;
  leave_by_signal();
}

static void install(int signal, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
  if (sigaction(signal, &a, NULL) != 0) die("sigaction");
}

enum { BUFFER = 1 << 20 };

/* Far from the low addresses, which tests may hit by chance. */
static uint8_t *buffer_of(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) die("out of memory");
  return p;
}

static uint8_t *input;
static int read_exactly(void *to, size_t n) {
  static size_t at, end;
  uint8_t *p = to;
  while (n > 0) {
    if (at == end) {
      ssize_t got = read(0, input, BUFFER);
      if (got < 0) die("read");
      if (got == 0) return 0;
      at = 0;
      end = (size_t)got;
    }
    size_t part = end - at < n ? end - at : n;
    memcpy(p, input + at, part);
    at += part, p += part, n -= part;
  }
  return 1;
}

static uint8_t *output;
static size_t output_used;
static void flush_output(void) {
  for (size_t at = 0; at < output_used;) {
    ssize_t n = write(1, output + at, output_used - at);
    if (n < 0) die("write");
    at += (size_t)n;
  }
  output_used = 0;
}
static void emit(const void *from, size_t n) {
  if (n > BUFFER) die("record too large");
  if (output_used + n > BUFFER) flush_output();
  memcpy(output + output_used, from, n);
  output_used += n;
}

static void *map_image(uint64_t at, size_t size, int protection, uint32_t offset) {
  int flags = MAP_SHARED | MAP_POPULATE | (at ? MAP_FIXED_NOREPLACE : 0);
  void *p = mmap((void *)at, size, protection, flags, image_fd, offset);
  if (p == MAP_FAILED || (at && (uint64_t)p != at)) die("mapping a test region");
  return p;
}

/* Jumps back from right after the tested code, leaving every register and flag as it is. 0 when it does not fit any more. */
static size_t write_terminator(uint8_t *p, uint64_t end, uint64_t limit, int mode) {
  uint32_t out_rip = (uint32_t)(uint64_t)&out.rip, value = (uint32_t)end;
  if (mode == MODE_COMPAT32) { /* mov dword ss:[out.rip], imm32; jmp far ss:[far_exit]: DS may be anything by now */
    uint32_t target = (uint32_t)(uint64_t)&far_exit;
    if (end + 18 > limit) return 0;
    p[0] = 0x36, p[1] = 0xc7, p[2] = 0x05, memcpy(p + 3, &out_rip, 4), memcpy(p + 7, &value, 4);
    p[11] = 0x36, p[12] = 0xff, p[13] = 0x2d, memcpy(p + 14, &target, 4);
    return 18;
  }
  uint32_t target = (uint32_t)(uint64_t)&exit_pointer;
  if (end + 18 > limit) return 0;
  p[0] = 0xc7, p[1] = 0x04, p[2] = 0x25, memcpy(p + 3, &out_rip, 4), memcpy(p + 7, &value, 4);
  p[11] = 0xff, p[12] = 0x24, p[13] = 0x25, memcpy(p + 14, &target, 4);
  return 18;
}

int main(void) {
  struct stream_header header;
  input = buffer_of(BUFFER);
  output = buffer_of(BUFFER);
  if (!read_exactly(&header, sizeof header)) return 0;
  if (header.magic != 0x434c5258) die("not a stream of cases");

  image_fd = memfd_create("image", 0);
  if (image_fd < 0 || ftruncate(image_fd, header.image_size) != 0) die("image");
  uint8_t *image = map_image(0, header.image_size, PROT_READ | PROT_WRITE, 0);
  uint8_t *pristine = buffer_of(header.image_size); /* image as the stream gives it */
  uint8_t *before = buffer_of(header.image_size);   /* the same with the case's patches */
  uint8_t *record = buffer_of(BUFFER);
  uint8_t *kept = buffer_of(BUFFER);
  for (uint32_t i = 0; i < header.region_count; i++) {
    struct region r;
    if (!read_exactly(&r, sizeof r)) die("short header");
    map_image(r.at, r.size, PROT_READ | (r.writable ? PROT_WRITE : 0), r.image_offset);
  }
  if (!read_exactly(pristine, header.image_size)) die("short image");
  memcpy(before, pristine, header.image_size);
  memcpy(image, pristine, header.image_size);
  uint8_t *code = mmap((void *)header.code_at, header.code_size, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
  if ((uint64_t)code != header.code_at) die("mapping the code region");
  memset(code, 0xcc, header.code_size);

  fsgsbase_usable = (getauxval(AT_HWCAP2) >> 1) & 1; /* HWCAP2_FSGSBASE */
  syscall(SYS_arch_prctl, 0x1003, &host_fs);         /* ARCH_GET_FS */
  syscall(SYS_arch_prctl, 0x1004, &host_gs);         /* ARCH_GET_GS */
  exit_pointer = (uint64_t)&leave_case;
  far_exit.offset = (uint32_t)(uint64_t)&leave_case;
  far_exit.selector = CS_LONG64;
  far_entry.selector = CS_COMPAT32;

  stack_t alternate = {.ss_size = 1 << 16};
  alternate.ss_sp = mmap(NULL, alternate.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (sigaltstack(&alternate, NULL) != 0) die("sigaltstack");
  static const int traps[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS};
  for (size_t i = 0; i < sizeof traps / sizeof *traps; i++) install(traps[i], on_trap);
  install(SIGALRM, on_tick);
  struct itimerval period = {{0, 50000}, {0, 50000}};
  setitimer(ITIMER_REAL, &period, NULL);

  struct case_header c;
  while (read_exactly(&c, sizeof c)) {
    if (c.size < sizeof c + sizeof in || c.size > BUFFER) die("bad case");
    if (!read_exactly(record, c.size - sizeof c)) die("short case");
    const uint8_t *p = record;
    memcpy(&in, p, sizeof in), p += sizeof in;
    uint64_t start = in.rip, end = start + c.code_length, limit = header.code_at + header.code_size;
    if (start < header.code_at || end > limit) die("code outside its region");
    uint8_t *text = code + (start - header.code_at);
    memcpy(text, p, c.code_length), p += (c.code_length + 7) & ~7;
    size_t terminator = c.branches ? 0 : write_terminator(text + c.code_length, end, limit, c.mode);
    const uint8_t *patches = p;
    for (uint32_t i = 0; i < c.patch_count; i++) {
      struct piece piece;
      memcpy(&piece, p, sizeof piece), p += sizeof piece;
      if (piece.offset + piece.length > header.image_size) die("patch outside the image");
      memcpy(image + piece.offset, p, piece.length);
      memcpy(before + piece.offset, p, piece.length);
      p += (piece.length + 7) & ~7;
    }
    in.selector[CS] = c.mode == MODE_COMPAT32 ? CS_COMPAT32 : CS_LONG64;
    far_entry.offset = (uint32_t)start;
    memset(&result, 0, sizeof result);
    out.rip = 0; /* the terminator writes its low half only */
    case_number++;
    out.selector[CS] = in.selector[CS];
    if (!fsgsbase_usable) { /* an old kernel: the bases of a case cannot be had; keep our own */
      out.fs_base = in.fs_base, out.gs_base = in.gs_base;
    }
    enter_case();
    memset(text, 0xcc, c.code_length + terminator);
    for (size_t page = 0; page < header.code_size; page += 4096) { /* what the code may have written beside itself */
      if (memcmp(code + page, code + page + 1, 4095) != 0 || code[page] != 0xcc) memset(code + page, 0xcc, 4096);
    }

    uint8_t *r = record; /* the case is used up, except for its patches */
    uint32_t patch_bytes = (uint32_t)(p - patches);
    memcpy(kept, patches, patch_bytes);
    uint32_t size = sizeof result + sizeof out;
    r += size;
    for (uint32_t page = 0; page < header.image_size; page += 4096) {
      if (memcmp(image + page, before + page, 4096) == 0) continue;
      for (uint32_t at = page; at < page + 4096;) {
        if (memcmp(image + at, before + at, 8) == 0) {
          at += 8;
          continue;
        }
        struct piece piece = {at, 0};
        while (at < page + 4096 && memcmp(image + at, before + at, 8) != 0) at += 8;
        piece.length = at - piece.offset;
        memcpy(r, &piece, sizeof piece), r += sizeof piece;
        memcpy(r, image + piece.offset, piece.length), r += piece.length;
        memcpy(image + piece.offset, pristine + piece.offset, piece.length);
        result.change_count++;
      }
    }
    p = kept;
    for (uint32_t i = 0; i < c.patch_count; i++) {
      struct piece piece;
      memcpy(&piece, p, sizeof piece), p += sizeof piece + ((piece.length + 7) & ~7);
      memcpy(image + piece.offset, pristine + piece.offset, piece.length);
      memcpy(before + piece.offset, pristine + piece.offset, piece.length);
    }
    result.size = (uint32_t)(r - record);
    memcpy(record, &result, sizeof result);
    memcpy(record + sizeof result, &out, sizeof out);
    emit(record, result.size);
  }
  flush_output();
  return 0;
}
