/**
 * HYPERVISOR_grant_table_op, number 20, as an ordinary domain sees it: its own table, and copies between its own
 * frames. Each element has a status of its own; the call fails only as a whole (bad address, unknown command).
 */
import { Errno } from '../../abi/errno.ts';
import {
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST,
  GNTTAB_NR_RESERVED_ENTRIES,
  GTF_permit_access,
  GTF_reading,
  GTF_type_mask,
  GTF_writing,
  GnttabCopy,
  GnttabGetStatusFrames,
  GnttabGetVersion,
  GnttabMapGrantRef,
  GnttabQuerySize,
  GnttabSetVersion,
  GnttabSetupTable,
  GnttabSwapGrantRef,
  GnttabTransfer,
  GnttabUnmapAndReplace,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GrantEntryV2,
} from '../../abi/grant-table.ts';
import type { DomId, Vaddr } from '../../abi/numbers.ts';
import { PAGE_SIZE, hiOf, loOf } from '../../abi/numbers.ts';
import type { Struct, ValueOf } from '../../abi/struct.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { HypercallArguments, HypercallRow, OpRow, OpTable, Support } from '../hypercall.ts';
import { dispatchOps, full, none, partial, rawOp, refusedOp } from '../hypercall.ts';
import type { Vcpu } from '../vcpu.ts';
import { acquire, clearInUse, entryAt, entryCount, grow, statusAt, statusFramesFor } from './table.ts';

/** Elements of one call; a guest's own batches are far smaller. */
const MAX_ELEMENTS = 4096;
const ownOnly = partial('grants of other guests cannot be mapped by a guest');

export const grantTableOps = {
  map_grant_ref: elements(0, GnttabMapGrantRef, ownOnly, () => ({ status: GNTST.bad_domain })),
  unmap_grant_ref: elements(1, GnttabUnmapGrantRef, ownOnly, () => ({ status: GNTST.bad_handle })),
  setup_table: rawOp({ nr: 2, support: full, run: setupTable }),
  transfer: elements(4, GnttabTransfer, none('obsolete'), () => ({ status: GNTST.bad_domain })),
  copy: elements(5, GnttabCopy, ownOnly, (vcpu, a) => ({ status: copy(vcpu, a) })),
  query_size: rawOp({ nr: 6, support: full, run: querySize }),
  unmap_and_replace: elements(7, GnttabUnmapAndReplace, ownOnly, () => ({ status: GNTST.bad_handle })),
  set_version: rawOp({ nr: 8, support: full, run: setVersion }),
  get_status_frames: rawOp({ nr: 9, support: full, run: getStatusFrames }),
  get_version: rawOp({ nr: 10, support: full, run: getVersion }),
  swap_grant_ref: elements(11, GnttabSwapGrantRef, full, (vcpu, a) => ({ status: swap(vcpu, a.ref_a, a.ref_b) })),
  cache_flush: refusedOp(12, none('no devices read memory behind the caches', Errno.EOPNOTSUPP)),
} satisfies OpTable;

const dispatch = dispatchOps(grantTableOps);

export const grantTableOpRow: HypercallRow = {
  nr: 20,
  name: 'grant_table_op',
  args: ['cmd', 'uop', 'count'],
  support: ownOnly,
  run: (vcpu, args) => ((args.u32(2) | 0) < 0 ? Errno.EINVAL : dispatch(vcpu, args.u32(0), args.num(1), args)),
};

/** An operation on an array: each element is read, done and answered. */
function elements<F>(
  nr: number,
  type: Struct<F>,
  support: Support,
  run: (vcpu: Vcpu, arg: ValueOf<Struct<F>>) => Parameters<Struct<F>['write']>[2],
): OpRow {
  return {
    nr,
    support,
    run(vcpu, va, args) {
      const count = args.u32(2);
      if (count > MAX_ELEMENTS) return Errno.EINVAL;
      for (let i = 0; i < count; i++) {
        const at = va + i * type.size;
        const arg = vcpu.guest.read(type, at);
        if (arg === undefined || !vcpu.guest.write(type, at, run(vcpu, arg))) return Errno.EFAULT;
      }
      return 0;
    },
  };
}

/** Status for naming another domain than oneself. */
function statusOfDomain(vcpu: Vcpu, dom: DomId): number {
  if (dom === DOMID_SELF || dom === vcpu.domain.domid) return GNTST.okay;
  return dom === 0 ? GNTST.permission_denied : GNTST.bad_domain;
}

function setupTable(vcpu: Vcpu, va: Vaddr, args: HypercallArguments): number {
  const { domain, guest } = vcpu;
  if (args.u32(2) !== 1) return Errno.EINVAL;
  const a = guest.read(GnttabSetupTable, va);
  if (a === undefined) return Errno.EFAULT;
  let status = statusOfDomain(vcpu, a.dom);
  if (status === GNTST.okay && !domain.locked(() => grow(domain, a.nr_frames))) status = GNTST.general_error;
  for (let i = 0; status === GNTST.okay && i < a.nr_frames; i++) {
    const mfn = domain.layout.grantMfn + i;
    if (!guest.writeU64(a.frame_list + i * 8, loOf(mfn), hiOf(mfn))) status = GNTST.bad_virt_addr;
  }
  return guest.write(GnttabSetupTable, va, { status }) ? 0 : Errno.EFAULT;
}

function querySize(vcpu: Vcpu, va: Vaddr, args: HypercallArguments): number {
  const { domain, guest } = vcpu;
  if (args.u32(2) !== 1) return Errno.EINVAL;
  const a = guest.read(GnttabQuerySize, va);
  if (a === undefined) return Errno.EFAULT;
  const status = statusOfDomain(vcpu, a.dom);
  const sizes =
    status === GNTST.okay ? { nr_frames: domain.get('grantFrames'), max_nr_frames: domain.layout.maxGrantFrames } : {};
  return guest.write(GnttabQuerySize, va, { ...sizes, status }) ? 0 : Errno.EFAULT;
}

function getVersion(vcpu: Vcpu, va: Vaddr): number {
  const a = vcpu.guest.read(GnttabGetVersion, va);
  if (a === undefined) return Errno.EFAULT;
  const status = statusOfDomain(vcpu, a.dom);
  if (status !== GNTST.okay) return status === GNTST.permission_denied ? Errno.EPERM : Errno.ESRCH;
  return vcpu.guest.write(GnttabGetVersion, va, { version: vcpu.domain.get('grantVersion') }) ? 0 : Errno.EFAULT;
}

function getStatusFrames(vcpu: Vcpu, va: Vaddr, args: HypercallArguments): number {
  const { domain, guest } = vcpu;
  if (args.u32(2) !== 1) return Errno.EINVAL;
  const a = guest.read(GnttabGetStatusFrames, va);
  if (a === undefined) return Errno.EFAULT;
  let status = statusOfDomain(vcpu, a.dom);
  if (status === GNTST.okay && (domain.get('grantVersion') !== 2 || a.nr_frames > domain.get('statusFrames')))
    status = GNTST.general_error;
  for (let i = 0; status === GNTST.okay && i < a.nr_frames; i++) {
    const mfn = domain.layout.statusMfn + i;
    if (!guest.writeU64(a.frame_list + i * 8, loOf(mfn), hiOf(mfn))) status = GNTST.bad_virt_addr;
  }
  return guest.write(GnttabGetStatusFrames, va, { status }) ? 0 : Errno.EFAULT;
}

/** Changes the layout of the table: nothing may be in use but the toolstack's entries, which are carried over. */
function setVersion(vcpu: Vcpu, va: Vaddr): number {
  const { domain, guest } = vcpu;
  const a = guest.read(GnttabSetVersion, va);
  if (a === undefined) return Errno.EFAULT;
  if (a.version !== 1 && a.version !== 2) return Errno.EINVAL;
  if (a.version > domain.get('maxGrantVersion')) return Errno.ENOSYS;
  const result = domain.locked(() => (a.version === domain.get('grantVersion') ? 0 : changeVersion(vcpu, a.version)));
  const version = domain.get('grantVersion');
  return guest.write(GnttabSetVersion, va, { version }) ? result : Errno.EFAULT;
}

function changeVersion(vcpu: Vcpu, version: number): Errno | 0 {
  const { domain } = vcpu;
  const { grantMfn, statusMfn } = domain.layout;
  const reserved = [];
  for (let ref = 0; ref < entryCount(domain); ref++) {
    const at = entryAt(domain, ref);
    const inUse =
      (version === 2 ? domain.view.getUint16(at, true) : domain.view.getUint16(statusAt(domain, ref), true)) &
      (GTF_reading | GTF_writing);
    if (ref >= GNTTAB_NR_RESERVED_ENTRIES) {
      if (inUse !== 0) return Errno.EBUSY;
      continue;
    }
    const entry = version === 2 ? GrantEntryV1.read(domain.view, at) : GrantEntryV2.read(domain.view, at);
    if ((entry.flags & GTF_type_mask) === GTF_permit_access) reserved.push({ ref, entry, inUse });
  }
  domain.u8.fill(0, domain.frameAt(grantMfn), domain.frameAt(grantMfn + domain.get('grantFrames')));
  domain.u8.fill(0, domain.frameAt(statusMfn), domain.frameAt(statusMfn + statusFramesFor(domain.get('grantFrames'))));
  domain.set('grantVersion', version);
  domain.set('statusFrames', version === 2 ? statusFramesFor(domain.get('grantFrames')) : 0);
  for (const { ref, entry, inUse } of reserved) {
    const at = entryAt(domain, ref);
    const flags = entry.flags & ~(GTF_reading | GTF_writing);
    if (version === 2) {
      GrantEntryV2.write(domain.view, at, { flags, domid: entry.domid, frame: entry.frame });
      domain.view.setUint16(statusAt(domain, ref), inUse, true);
    } else {
      GrantEntryV1.write(domain.view, at, { flags: flags | inUse, domid: entry.domid, frame: entry.frame });
    }
  }
  return 0;
}

function swap(vcpu: Vcpu, a: number, b: number): number {
  const { domain } = vcpu;
  return domain.locked(() => {
    const entries = entryCount(domain);
    if (a >= entries || b >= entries) return GNTST.bad_gntref;
    const [atA, atB] = [entryAt(domain, a), entryAt(domain, b)];
    const size = domain.get('grantVersion') === 2 ? GrantEntryV2.size : GrantEntryV1.size;
    const inUse = (ref: number, at: number): number =>
      domain.view.getUint16(domain.get('grantVersion') === 2 ? statusAt(domain, ref) : at, true) &
      (GTF_reading | GTF_writing);
    if (inUse(a, atA) !== 0 || inUse(b, atB) !== 0) return GNTST.eagain;
    const kept = domain.u8.slice(atA, atA + size);
    domain.u8.copyWithin(atA, atB, atB + size);
    domain.u8.set(kept, atB);
    return GNTST.okay;
  });
}

interface Side {
  readonly domid: DomId;
  readonly u: number;
  readonly offset: number;
  readonly gref: boolean;
}

function copy(vcpu: Vcpu, a: ValueOf<typeof GnttabCopy>): number {
  const { domain } = vcpu;
  if (a.source_offset + a.len > PAGE_SIZE || a.dest_offset + a.len > PAGE_SIZE) return GNTST.bad_copy_arg;
  const source: Side = {
    domid: a.source_domid,
    u: a.source_u,
    offset: a.source_offset,
    gref: (a.flags & GNTCOPY_source_gref) !== 0,
  };
  const dest: Side = {
    domid: a.dest_domid,
    u: a.dest_u,
    offset: a.dest_offset,
    gref: (a.flags & GNTCOPY_dest_gref) !== 0,
  };
  return domain.locked(() => {
    const from = claim(vcpu, source, a.len, true);
    if (typeof from === 'number') return from;
    const to = claim(vcpu, dest, a.len, false);
    if (typeof to === 'number') {
      from.release();
      return to;
    }
    domain.u8.copyWithin(to.at, from.at, from.at + a.len);
    vcpu.processor.frameWritten(to.mfn, dest.offset, a.len);
    to.release();
    from.release();
    return GNTST.okay;
  });
}

/** One side of a copy: checked, and held while the copy is made. */
function claim(
  vcpu: Vcpu,
  side: Side,
  length: number,
  readonly: boolean,
): { at: number; mfn: number; release: () => void } | number {
  const { domain } = vcpu;
  const { kind } = vcpu.platform;
  const named = statusOfDomain(vcpu, side.domid);
  if (named !== GNTST.okay) return named;
  let mfn = side.u;
  let done = (): void => undefined;
  if (side.gref) {
    const grant = acquire(domain, side.u, domain.domid, readonly, true);
    if (typeof grant === 'number') return grant;
    done = () => clearInUse(domain, side.u, GTF_reading | (readonly ? 0 : GTF_writing));
    if (side.offset < grant.offset || side.offset + length > grant.offset + grant.length) {
      done();
      return GNTST.general_error;
    }
    mfn = grant.frame;
  }
  const held = readonly ? kind.getPage(domain, mfn) : kind.getWritable(domain, mfn);
  if (!held) {
    done();
    return GNTST.bad_page;
  }
  return {
    at: domain.frameAt(mfn) + side.offset,
    mfn,
    release: () => {
      if (readonly) kind.putPage(domain, mfn);
      else kind.putWritable(domain, mfn);
      done();
    },
  };
}
