/**
 * WHATWG "Encoding": the two classes that every JavaScript host has and no TypeScript lib but lib.dom declares. Clocks, timers
 * and the console are left out on purpose: the rooms that are compiled against this file get those handed in.
 */
declare class TextEncoder {
  readonly encoding: 'utf-8';
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  readonly encoding: string;
  decode(bytes?: ArrayBufferView | ArrayBuffer, options?: { stream?: boolean }): string;
}
