/* Memory that is moved in every way, onto itself too, and compared with what bytes one by one give. */
#include "soak.h"

#define SIZE 65536

static unsigned char moved[SIZE], expected[SIZE];

static void rep_movs(unsigned char *to, const unsigned char *from, size_t length)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

static void rep_movs_down(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length == 0)
        return;
    to += length - 1;
    from += length - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    for (size_t n = 0; n < SIZE; n++)
        moved[n] = expected[n] = soak_random();
    do {
        size_t length = soak_random() % 9000;
        size_t from = soak_random() % (SIZE - 9000), to = soak_random() % (SIZE - 9000);
        unsigned how = soak_random() % 4;

        if (how == 0) { /* A pattern repeats itself where it is copied upwards onto itself. */
            rep_movs(moved + to, moved + from, length);
            for (size_t n = 0; n < length; n++)
                ((volatile unsigned char *)expected)[to + n] = expected[from + n];
        } else if (how == 1) {
            rep_movs_down(moved + to, moved + from, length);
            for (size_t n = length; n-- > 0;)
                ((volatile unsigned char *)expected)[to + n] = expected[from + n];
        } else if (how == 2) {
            memmove(moved + to, moved + from, length);
            if (to < from)
                for (size_t n = 0; n < length; n++)
                    ((volatile unsigned char *)expected)[to + n] = expected[from + n];
            else
                for (size_t n = length; n-- > 0;)
                    ((volatile unsigned char *)expected)[to + n] = expected[from + n];
        } else {
            int byte = soak_random();

            memset(moved + to, byte, length);
            for (size_t n = 0; n < length; n++)
                ((volatile unsigned char *)expected)[to + n] = byte;
        }
        if (memcmp(moved, expected, SIZE) != 0)
            soak_wrong("way %u, %zu bytes from %zu to %zu", how, length, from, to);
    } while (soak_more());
    return soak_done();
}
