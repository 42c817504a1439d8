/* Bytes and texts. */
#include "agent.h"

void *memmove(void *to, const void *from, u64 length) {
  u8 *target = to;
  const u8 *source = from;
  if (target <= source || target >= source + length) return memcpy(to, from, length);
  while (length-- > 0) target[length] = source[length];
  return to;
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
