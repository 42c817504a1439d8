/** Sizes as people write them: `20G`, `512M`, `1.5T`, or bytes. */
import { usageError } from './image-command.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  P: 2 ** 50,
};

export function readSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)([BKMGTP]?)(?:i?B)?$/i.exec(text) ?? [];
  const size = Number(digits) * (units[unit.toUpperCase()] ?? NaN);
  if (digits === '' || !Number.isSafeInteger(Math.ceil(size))) {
    throw usageError(`"${text}" is no size`, 'a size is a number with K, M, G, T or P behind it, or of bytes');
  }
  return Math.ceil(size);
}

export function describeSize(bytes: number): string {
  let value = bytes;
  let unit = 'B';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${Number(value.toPrecision(3))} ${unit}`;
}
