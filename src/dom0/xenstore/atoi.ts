/** As xenstored reads numbers: what does not begin with one is 0, and 32 bits are kept. */
export function atoi(text: string): number {
  return Number(/^\s*([+-]?\d{1,20})/.exec(text)?.[1] ?? 0) | 0;
}
