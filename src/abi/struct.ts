/**
 * Guest structures, declared once. Offsets follow from the declaration by C's rules (natural alignment, unless packed),
 * the size is compared with the C header's when the module loads, and the value type is inferred.
 *
 *   export const EvtchnSend = struct('evtchn_send', { port: evtchnPort }, 4);
 *   EvtchnSend.at.port      // byte offset, for hot paths
 *   EvtchnSend.read(view, at), EvtchnSend.write(view, at, { port: 5 })
 */
import type { DomId, Gfn, GrantRef, Port, U64, Vaddr, VcpuId } from './numbers.ts';
import { hiOf, loOf, signedOf, unsignedOf } from './numbers.ts';

export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

type Fields = Readonly<Record<string, FieldType<unknown>>>;
// From `read` alone: a nested struct's `write` takes less than its value.
type ValueOfField<F> = F extends { read(view: DataView, at: number): infer T } ? T : never;
type ValueOfFields<F> = { -readonly [K in keyof F]: ValueOfField<F[K]> };

export interface Struct<F> extends FieldType<ValueOfFields<F>> {
  readonly name: string;
  /** Byte offset of each field. */
  readonly at: { readonly [K in keyof F]: number };
  /** Writes only the fields that are present. */
  write(view: DataView, at: number, value: Partial<ValueOfFields<F>>): void;
}
export type ValueOf<S> = S extends Struct<infer F> ? ValueOfFields<F> : never;

/** Declares a structure; `sizeof` is the C header's and any other layout throws. 'internal': no guest sees it. */
export function struct<const F extends Fields>(
  name: string,
  fields: F,
  sizeof: number | 'internal',
  options: { readonly packed?: boolean } = {},
): Struct<F> {
  const packed = options.packed ?? false;
  const entries = Object.entries(fields) as [string, FieldType<unknown>][];
  const at: Record<string, number> = {};
  let size = 0;
  let align = 1;
  for (const [key, field] of entries) {
    if (!packed) {
      size = roundUp(size, field.align);
      align = Math.max(align, field.align);
    }
    at[key] = size;
    size += field.size;
  }
  size = roundUp(size, align);
  if (sizeof !== 'internal' && size !== sizeof)
    throw new Error(`struct ${name}: laid out in ${size} bytes, the header has ${sizeof}`);
  const offsets = entries.map(([key, field]) => ({ key, field, offset: at[key] ?? 0 }));
  return {
    name,
    size,
    align,
    at: at as Struct<F>['at'],
    read(view, base) {
      const value: Record<string, unknown> = {};
      for (const { key, field, offset } of offsets) value[key] = field.read(view, base + offset);
      return value as ValueOfFields<F>;
    },
    write(view, base, value) {
      const given = value as Readonly<Record<string, unknown>>;
      for (const { key, field, offset } of offsets) {
        const member = given[key];
        if (member !== undefined) field.write(view, base + offset, member);
      }
    },
  };
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

export const u8: FieldType<number> = {
  size: 1,
  align: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, value),
};
export const s8: FieldType<number> = {
  size: 1,
  align: 1,
  read: (view, at) => view.getInt8(at),
  write: (view, at, value) => view.setInt8(at, value),
};
export const u16: FieldType<number> = {
  size: 2,
  align: 2,
  read: (view, at) => view.getUint16(at, true),
  write: (view, at, value) => view.setUint16(at, value, true),
};
export const s16: FieldType<number> = {
  size: 2,
  align: 2,
  read: (view, at) => view.getInt16(at, true),
  write: (view, at, value) => view.setInt16(at, value, true),
};
export const u32: FieldType<number> = {
  size: 4,
  align: 4,
  read: (view, at) => view.getUint32(at, true),
  write: (view, at, value) => view.setUint32(at, value, true),
};
export const s32: FieldType<number> = {
  size: 4,
  align: 4,
  read: (view, at) => view.getInt32(at, true),
  write: (view, at, value) => view.setInt32(at, value, true),
};
/** A 64-bit value whose every bit matters: a page-table entry, a descriptor. */
export const u64lohi: FieldType<U64> = {
  size: 8,
  align: 8,
  read: (view, at) => ({ lo: view.getUint32(at, true), hi: view.getUint32(at + 4, true) }),
  write(view, at, value) {
    view.setUint32(at, value.lo, true);
    view.setUint32(at + 4, value.hi, true);
  },
};
/** An unsigned 64-bit count, size, time or frame number; inexact at 2^53 and above, which every range check refuses. */
export const u64: FieldType<number> = {
  size: 8,
  align: 8,
  read: (view, at) => unsignedOf(view.getUint32(at, true), view.getUint32(at + 4, true)),
  write(view, at, value) {
    view.setUint32(at, loOf(value), true);
    view.setUint32(at + 4, hiOf(value), true);
  },
};
/** A signed 64-bit number. */
export const s64: FieldType<number> = {
  size: 8,
  align: 8,
  read: (view, at) => signedOf(view.getUint32(at, true), view.getUint32(at + 4, true)),
  write: u64.write,
};
/** XEN_GUEST_HANDLE_64, or any guest virtual address. */
export const guestHandle: FieldType<Vaddr> = s64;
/** A double: for the hypervisor's own structures, which hold times and large counts. */
export const f64: FieldType<number> = {
  size: 8,
  align: 8,
  read: (view, at) => view.getFloat64(at, true),
  write: (view, at, value) => view.setFloat64(at, value, true),
};

export const domid: FieldType<DomId> = u16;
export const evtchnPort: FieldType<Port> = u32;
export const vcpuId: FieldType<VcpuId> = u32;
export const grantRef: FieldType<GrantRef> = u32;
/** A frame number in 64 bits (xen_pfn_t). */
export const gfn: FieldType<Gfn> = u64;

/** A byte buffer; reading copies, writing may give fewer bytes and zeroes the rest. */
export function bytes(length: number): FieldType<Uint8Array> {
  return {
    size: length,
    align: 1,
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
    write(view, at, value) {
      const target = new Uint8Array(view.buffer, view.byteOffset + at, length);
      target.fill(0);
      target.set(value.subarray(0, length));
    },
  };
}

export function array<T>(type: FieldType<T>, length: number): FieldType<T[]> {
  return {
    size: type.size * length,
    align: type.align,
    read: (view, at) => Array.from({ length }, (_, i) => type.read(view, at + i * type.size)),
    write(view, at, values) {
      values.slice(0, length).forEach((value, i) => type.write(view, at + i * type.size, value));
    },
  };
}
