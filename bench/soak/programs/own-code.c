/* Code that changes itself: the instruction that follows, a function that is being called again and again, and through another mapping of its page. */
#include "soak.h"
#include <sys/mman.h>

#define PAGE 4096

/* mov [rip+1],dil; mov al,0; movzx eax,al; ret: returns its argument by way of its own code */
static const unsigned char next[] = { 0x40, 0x88, 0x3d, 0x01, 0, 0, 0, 0xb0, 0, 0x0f, 0xb6, 0xc0, 0xc3 };
/* A loop that counts up its own addend: mov ecx,edi; xor eax,eax; again: add eax,imm8; inc byte [rip-7]; dec ecx; jnz again; ret */
static const unsigned char loop[] = { 0x89, 0xf9, 0x31, 0xc0, 0x83, 0xc0, 0, 0xfe, 0x05, 0xf9, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x75, 0xf3, 0xc3 };
#define ADDEND 6

typedef uint32_t (*function)(uint32_t);

int main(int argc, char **argv)
{
    int file = memfd_create("code", 0);
    unsigned char *write, *run;

    soak_begin(argc, argv);
    if (file < 0 || ftruncate(file, PAGE) != 0)
        soak_wrong("memfd");
    write = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, file, 0);
    if (write == MAP_FAILED || run == MAP_FAILED)
        soak_wrong("mmap");
    do {
        uint32_t at = soak_random() % 3000;
        function f = (function)(run + at);
        uint32_t count, expected = 0, first;

        memcpy(run + at, next, sizeof(next));
        for (uint32_t n = 0; n < 40; n++)
            if (f(n) != n)
                soak_wrong("the old instruction ran");
        memcpy(run + at, loop, sizeof(loop));
        count = 1 + soak_random() % 30;
        first = soak_random() % 60;
        write[at + ADDEND] = first;
        for (uint32_t n = 0; n < count; n++)
            expected += first + n;
        if (f(count) != expected)
            soak_wrong("a loop of %u from %u", count, first);
        /* mov eax,VALUE; ret, changed behind its back */
        write[at] = 0xb8;
        write[at + 5] = 0xc3;
        for (uint32_t n = 0; n < 100; n++) {
            uint32_t value = n < 50 ? soak_random() : n;

            memcpy(write + at + 1, &value, 4);
            if (f(0) != value)
                soak_wrong("what another mapping wrote was not run");
        }
    } while (soak_more());
    return soak_done();
}
