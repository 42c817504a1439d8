/* Frames on the channel: [type, id (32 bits, little-endian), content, CRC-32C of all that], encoded by COBS (Cheshire and Baker, "Consistent Overhead
   Byte Stuffing"), and a zero byte. No zero byte is inside, so whoever joins in the middle, after a restore for instance, knows where the next frame
   begins; and what was cut or glued together meanwhile has a wrong checksum. */
#include "agent.h"

enum { HEAD = 5, SUM = 4, ENCODED = MAX_FRAME + MAX_FRAME / 254 + 3 };
enum { OUTPUT_SIZE = 3 * ENCODED };

u8 output[OUTPUT_SIZE];
u32 output_at, output_length;

static u32 crc_table[256];
static int has_crc;
static u8 plain[MAX_FRAME];
static u8 encoded[ENCODED];
static u32 encoded_length;
static int too_long;

void prepare_frames(void) {
  has_crc = processor_has_crc();
  for (u32 n = 0; n < 256; n++) {
    u32 c = n;
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
    crc_table[n] = c;
  }
}

static u32 crc(const u8 *at, u32 length) {
  if (has_crc) return crc_by_processor(at, length);
  u32 c = 0xffffffffu;
  const u8 *end = at + length;
  while (at < end) c = crc_table[(c ^ *at++) & 255] ^ c >> 8;
  return c ^ 0xffffffffu;
}

/* How many bytes come before the next zero, or the end: eight at a time, for this is done with every byte that goes or comes. */
static u32 until_zero(const u8 *at, u32 length) {
  u32 n = 0;
  while (n + 8 <= length) {
    u64 eight = *(const u64 *)(at + n);
    if ((eight - 0x0101010101010101ul) & ~eight & 0x8080808080808080ul) break;
    n += 8;
  }
  while (n < length && at[n]) n++;
  return n;
}

int has_room(void) {
  return OUTPUT_SIZE - output_length >= ENCODED;
}

void reset_output(void) {
  output_at = 0;
  /* Ends a frame of which the channel may have got a part. */
  output[0] = 0;
  output_length = 1;
}

u8 *begin_frame(u8 type, u32 id) {
  plain[0] = type;
  *(u32 *)(plain + 1) = id;
  return plain + HEAD;
}

void end_frame(u32 length) {
  u32 total = HEAD + length;
  *(u32 *)(plain + total) = crc(plain, total);
  total += SUM;
  if (output_at > 0) {
    memmove(output, output + output_at, output_length);
    output_at = 0;
  }
  const u8 *from = plain, *end = plain + total;
  u8 *to = output + output_length;
  for (;;) {
    for (; from < end && *from == 0; from++) *to++ = 1;
    u32 left = end - from, block = until_zero(from, left < 254 ? left : 254);
    *to++ = block + 1;
    memcpy(to, from, block);
    to += block;
    from += block;
    if (from == end) break;
    if (block < 254) from++; /* the zero, which the block stands for */
  }
  *to++ = 0;
  output_length = to - output;
}

/* In place: what is decoded is never longer. Returns its length, or -1. */
static int decode(u8 *bytes, u32 length) {
  u8 *to = bytes;
  const u8 *from = bytes, *end = bytes + length;
  while (from < end) {
    u32 code = *from++;
    if (code - 1 > (u64)(end - from)) return -1;
    memcpy(to, from, code - 1);
    to += code - 1;
    from += code - 1;
    if (code < 255 && from < end) *to++ = 0;
  }
  u32 total = to - bytes;
  if (total < HEAD + SUM || total > MAX_FRAME) return -1;
  total -= SUM;
  return crc(bytes, total) == *(u32 *)(bytes + total) ? (int)total : -1;
}

void input(const u8 *bytes, u32 length) {
  for (const u8 *end = bytes + length; bytes < end; bytes++) {
    u32 block = until_zero(bytes, end - bytes);
    if (block > ENCODED - encoded_length) too_long = 1;
    if (!too_long) {
      memcpy(encoded + encoded_length, bytes, block);
      encoded_length += block;
    }
    bytes += block;
    if (bytes == end) return;
    int total = too_long ? -1 : decode(encoded, encoded_length);
    encoded_length = 0;
    too_long = 0;
    if (total >= 0) take(encoded[0], *(u32 *)(encoded + 1), encoded + HEAD, total - HEAD);
  }
}
