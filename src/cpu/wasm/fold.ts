/**
 * Integer instructions on constants, by their opcodes (core specification, "Numeric Instructions"), as far as generated code has them; undefined for the
 * others. Results may be wider than the type.
 */
export function fold32(op: number, a: number, b: number): number | undefined {
  switch (op) {
    case 0x6a:
      return a + b;
    case 0x6b:
      return a - b;
    case 0x6c:
      return Math.imul(a, b);
    case 0x71:
      return a & b;
    case 0x72:
      return a | b;
    case 0x73:
      return a ^ b;
    case 0x74:
      return a << b;
    case 0x75:
      return a >> b;
    case 0x76:
      return a >>> b;
    default: {
      // The comparisons of both widths come in the same order.
      const test = test64(op + (0x51 - 0x46), BigInt(a), BigInt(b));
      return test === undefined ? undefined : Number(test);
    }
  }
}

/** The same with 64 bits. */
export function fold64(op: number, a: bigint, b: bigint): bigint | undefined {
  switch (op) {
    case 0x7c:
      return a + b;
    case 0x7d:
      return a - b;
    case 0x7e:
      return a * b;
    case 0x83:
      return a & b;
    case 0x84:
      return a | b;
    case 0x85:
      return a ^ b;
    case 0x86:
      return a << (b & 63n);
    case 0x87:
      return a >> (b & 63n);
    case 0x88:
      return BigInt.asUintN(64, a) >> (b & 63n);
    default:
      return undefined;
  }
}

/** Sign extension keeps the order of unsigned numbers, so constants of 32 bits can be compared here as well. */
export function test64(op: number, a: bigint, b: bigint): boolean | undefined {
  const [x, y] = [BigInt.asUintN(64, a), BigInt.asUintN(64, b)];
  switch (op) {
    case 0x51:
      return a === b;
    case 0x52:
      return a !== b;
    case 0x53:
      return a < b;
    case 0x54:
      return x < y;
    case 0x55:
      return a > b;
    case 0x56:
      return x > y;
    case 0x57:
      return a <= b;
    case 0x58:
      return x <= y;
    case 0x59:
      return a >= b;
    case 0x5a:
      return x >= y;
    default:
      return undefined;
  }
}
