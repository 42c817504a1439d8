import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Errno } from '../../abi/errno.ts';
import {
  GNTCOPY_dest_gref,
  GNTCOPY_source_gref,
  GNTST,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_writing,
  GnttabCopy,
  GnttabGetStatusFrames,
  GnttabGetVersion,
  GnttabMapGrantRef,
  GnttabQuerySize,
  GnttabSetVersion,
  GnttabSetupTable,
  GnttabSwapGrantRef,
  GnttabUnmapGrantRef,
  GrantEntryV1,
  GrantEntryV2,
} from '../../abi/grant-table.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { GrantMapping } from '../control.ts';
import type { Domain } from '../domain.ts';
import { call, runInGuest } from '../testing/guest.ts';
import { vaOf } from '../testing/script-processor.ts';
import { grantTableOps as ops } from './ops.ts';
import { entryAt, statusAt } from './table.ts';

const nr = call.grant_table_op;
const ONE = [1];

function grantV1(domain: Domain, ref: number, frame: number, flags = GTF_permit_access, domid = 0): void {
  GrantEntryV1.write(domain.view, entryAt(domain, ref), { frame, domid, flags });
}
const flagsOf = (domain: Domain, ref: number): number => domain.view.getUint16(entryAt(domain, ref), true);

const mapped = (mapping: GrantMapping | number): GrantMapping => {
  if (typeof mapping === 'number') assert.fail(`mapping failed with ${mapping}`);
  return mapping;
};

describe('GNTTABOP on the own table', () => {
  it('begins with one frame and grows to the limit, no further', () => {
    runInGuest(
      function* (k) {
        const size = () => k.op(nr, ops.query_size.nr, GnttabQuerySize, { dom: DOMID_SELF }, ONE);
        assert.deepEqual((yield* size()).out, { dom: DOMID_SELF, nr_frames: 1, max_nr_frames: 4, status: 0 });
        const setup = (nr_frames: number) =>
          k.op(nr, ops.setup_table.nr, GnttabSetupTable, { dom: DOMID_SELF, nr_frames, frame_list: vaOf(30) }, ONE);
        assert.equal((yield* setup(3)).out.status, GNTST.okay);
        const list = [0, 1, 2].map((i) => k.domain.view.getUint32(k.domain.frameAt(30) + i * 8, true));
        const first = k.domain.layout.grantMfn;
        assert.deepEqual(list, [first, first + 1, first + 2]);
        assert.equal((yield* size()).out.nr_frames, 3);
        assert.equal((yield* setup(5)).out.status, GNTST.general_error);
      },
      { maxGrantFrames: 4 },
    );
  });

  it('says which domain it has no business with', () => {
    runInGuest(function* (k) {
      assert.equal(
        (yield* k.op(nr, ops.query_size.nr, GnttabQuerySize, { dom: 0 }, ONE)).out.status,
        GNTST.permission_denied,
      );
      assert.equal(
        (yield* k.op(nr, ops.query_size.nr, GnttabQuerySize, { dom: 77 }, ONE)).out.status,
        GNTST.bad_domain,
      );
      assert.equal(
        (yield* k.op(nr, ops.map_grant_ref.nr, GnttabMapGrantRef, { dom: 5, ref: 1 }, ONE)).out.status,
        GNTST.bad_domain,
      );
      assert.equal(
        (yield* k.op(nr, ops.unmap_grant_ref.nr, GnttabUnmapGrantRef, { handle: 5 }, ONE)).out.status,
        GNTST.bad_handle,
      );
    });
  });

  it('fails as a whole for a wrong count or a bad address', () => {
    runInGuest(function* (k) {
      assert.equal(
        (yield* k.op(nr, ops.query_size.nr, GnttabQuerySize, { dom: DOMID_SELF }, [2])).result,
        Errno.EINVAL,
      );
      assert.equal(yield* k.hypercall(nr, ops.query_size.nr, 0x1000, 1), Errno.EFAULT);
      assert.equal(yield* k.hypercall(nr, ops.copy.nr, vaOf(30), 0xffffffff), Errno.EINVAL);
    });
  });

  it('carries the reserved entries over to version 2 and back', () => {
    const { control } = runInGuest(function* (k) {
      grantV1(k.domain, 0, 9);
      grantV1(k.domain, 1, 10, GTF_permit_access | GTF_reading | GTF_writing);
      const set = (version: number) => k.op(nr, ops.set_version.nr, GnttabSetVersion, { version });
      assert.deepEqual(yield* set(2), { result: 0, out: { version: 2 } });
      const entry = (ref: number) => GrantEntryV2.read(k.domain.view, entryAt(k.domain, ref));
      assert.deepEqual([entry(0).frame, entry(0).flags], [9, GTF_permit_access]);
      assert.deepEqual([entry(1).frame, entry(1).flags], [10, GTF_permit_access]);
      assert.equal(k.domain.view.getUint16(statusAt(k.domain, 1), true), GTF_reading | GTF_writing);
      const status = yield* k.op(
        nr,
        ops.get_status_frames.nr,
        GnttabGetStatusFrames,
        { dom: DOMID_SELF, nr_frames: 1, frame_list: vaOf(30) },
        ONE,
      );
      assert.equal(status.out.status, GNTST.okay);
      assert.equal(k.domain.view.getUint32(k.domain.frameAt(30), true), k.domain.layout.statusMfn);
      assert.equal((yield* set(1)).result, 0);
      assert.equal(flagsOf(k.domain, 1), GTF_permit_access | GTF_reading | GTF_writing);
      assert.equal((yield* k.op(nr, ops.get_version.nr, GnttabGetVersion, { dom: DOMID_SELF })).out.version, 1);
      assert.equal((yield* set(3)).result, Errno.EINVAL);
    });
    assert.equal(control.info().dying, false);
  });

  it('does not change its version while an entry is in use', () => {
    runInGuest(function* (k) {
      grantV1(k.domain, 8, 40, GTF_permit_access | GTF_reading);
      assert.deepEqual(yield* k.op(nr, ops.set_version.nr, GnttabSetVersion, { version: 2 }), {
        result: Errno.EBUSY,
        out: { version: 1 },
      });
    });
  });

  it('swaps entries that nobody uses', () => {
    runInGuest(function* (k) {
      grantV1(k.domain, 8, 40);
      grantV1(k.domain, 9, 41);
      assert.equal(
        (yield* k.op(nr, ops.swap_grant_ref.nr, GnttabSwapGrantRef, { ref_a: 8, ref_b: 9 }, ONE)).out.status,
        GNTST.okay,
      );
      assert.equal(GrantEntryV1.read(k.domain.view, entryAt(k.domain, 8)).frame, 41);
      assert.equal(
        (yield* k.op(nr, ops.swap_grant_ref.nr, GnttabSwapGrantRef, { ref_a: 8, ref_b: 1e6 }, ONE)).out.status,
        GNTST.bad_gntref,
      );
    });
  });
});

describe('GNTTABOP_copy within the domain', () => {
  const self = DOMID_SELF;

  it('copies between frames and granted frames, and refuses what crosses a page', () => {
    runInGuest(function* (k) {
      const { domain } = k;
      domain.frame(40).fill(7);
      domain.frame(41).fill(0);
      const copy = (a: Parameters<typeof GnttabCopy.write>[2]) =>
        k.op(nr, ops.copy.nr, GnttabCopy, { source_domid: self, dest_domid: self, ...a }, ONE);
      assert.equal((yield* copy({ source_u: 40, dest_u: 41, dest_offset: 100, len: 50 })).out.status, GNTST.okay);
      assert.deepEqual(
        [domain.frame(41)[99], domain.frame(41)[100], domain.frame(41)[149], domain.frame(41)[150]],
        [0, 7, 7, 0],
      );
      grantV1(domain, 8, 42, GTF_permit_access, domain.domid);
      assert.equal(
        (yield* copy({ source_u: 40, dest_u: 8, len: 4096, flags: GNTCOPY_dest_gref })).out.status,
        GNTST.okay,
      );
      assert.equal(domain.frame(42)[4095], 7);
      assert.equal(flagsOf(domain, 8), GTF_permit_access, 'not in use afterwards');
      assert.equal(
        (yield* copy({ source_u: 40, dest_u: 41, source_offset: 1, len: 4096 })).out.status,
        GNTST.bad_copy_arg,
      );
      assert.equal((yield* copy({ source_u: 2 ** 30, dest_u: 41, len: 1 })).out.status, GNTST.bad_page);
      grantV1(domain, 8, 42, GTF_permit_access | GTF_readonly, domain.domid);
      assert.equal(
        (yield* copy({ source_u: 40, dest_u: 8, len: 1, flags: GNTCOPY_dest_gref })).out.status,
        GNTST.general_error,
      );
      assert.equal(
        (yield* copy({ source_u: 8, dest_u: 43, len: 1, flags: GNTCOPY_source_gref })).out.status,
        GNTST.okay,
      );
    });
  });
});

describe('a grant that domain 0 maps', () => {
  function granted(flags: number, domid = 0) {
    return runInGuest(function* (k) {
      grantV1(k.domain, 8, 40, flags, domid);
      yield* k.spin(1);
    });
  }

  it('shows the same bytes, and is marked in use until it is unmapped', () => {
    const { control } = granted(GTF_permit_access);
    const domain = control.frames;
    const entry = control.frames.base + (control.sharedInfoMfn + 1) * 4096 + 8 * 8;
    const flags = (): number => domain.dataView.getUint16(entry, true);
    const one = mapped(control.grantMap(8, { readonly: false }));
    const two = mapped(control.grantMap(8, { readonly: true }));
    assert.equal(one.mfn, 40);
    assert.equal(flags(), GTF_permit_access | GTF_reading | GTF_writing);
    one.unmap();
    assert.equal(flags(), GTF_permit_access | GTF_reading);
    one.unmap();
    two.unmap();
    assert.equal(flags(), GTF_permit_access);
  });

  it('keeps the frame in being while it is mapped', () => {
    const { control } = granted(GTF_permit_access);
    const mapping = mapped(control.grantMap(8, { readonly: false }));
    assert.equal(control.grantMap(9, { readonly: true }), GNTST.general_error);
    mapping.unmap();
  });

  const refusals: readonly [string, number, number, number, boolean, number][] = [
    ['an entry that grants nothing', 0, 0, 8, true, GNTST.general_error],
    ['an entry for another domain', GTF_permit_access, 5, 8, true, GNTST.general_error],
    ['writing to a read-only grant', GTF_permit_access | GTF_readonly, 0, 8, false, GNTST.general_error],
    ['a reference beyond the table', GTF_permit_access, 0, 512, true, GNTST.bad_gntref],
    ['a negative reference', GTF_permit_access, 0, -1, true, GNTST.bad_gntref],
  ];
  for (const [what, flags, domid, ref, readonly, status] of refusals) {
    it(`is refused for ${what}`, () => {
      assert.equal(granted(flags, domid).control.grantMap(ref, { readonly }), status);
    });
  }

  it('is refused when the frame is no RAM of the domain', () => {
    const { control } = runInGuest(function* (k) {
      grantV1(k.domain, 8, 0xffffffff);
      yield* k.spin(1);
    });
    assert.equal(control.grantMap(8, { readonly: true }), GNTST.bad_page);
  });

  it('works for the ring that the toolstack seeded', () => {
    const { control } = runInGuest(function* (k) {
      yield* k.spin(1);
    });
    control.seedGrant(1, 33);
    assert.equal(mapped(control.grantMap(1, { readonly: false })).mfn, 33);
    assert.throws(() => control.seedGrant(1, 1e6), /EINVAL/);
  });

  it('of version 2 has its in-use bits in the status frame', () => {
    const { control } = runInGuest(function* (k) {
      yield* k.op(nr, ops.set_version.nr, GnttabSetVersion, { version: 2 });
      GrantEntryV2.write(k.domain.view, entryAt(k.domain, 8), {
        frame: 44,
        domid: 0,
        flags: GTF_permit_access | GTF_sub_page,
        page_off: 8,
        length: 8,
      });
      yield* k.spin(1);
    });
    const mapping = mapped(control.grantMap(8, { readonly: true }));
    assert.equal(mapping.mfn, 44);
    mapping.unmap();
  });
});

describe('grants that domain 0 maps together', () => {
  const table = (...entries: readonly (readonly [ref: number, frame: number, flags?: number, domid?: number])[]) => {
    const { control } = runInGuest(function* (k) {
      for (const [ref, frame, flags, domid] of entries) grantV1(k.domain, ref, frame, flags, domid);
      yield* k.spin(1);
    });
    const entry = control.frames.base + (control.sharedInfoMfn + 1) * 4096;
    return { control, flags: (ref: number): number => control.frames.dataView.getUint16(entry + ref * 8, true) };
  };
  const inUse = GTF_permit_access | GTF_reading | GTF_writing;

  it('have each a frame or a status of its own, and are let go together', () => {
    const { control, flags } = table(
      [8, 40],
      [9, 41, GTF_permit_access | GTF_readonly],
      [10, 42, GTF_permit_access, 5],
    );
    const batch = control.grantMapBatch([8, 9, 8, 10, 512, -1], { readonly: false });
    const { general_error, bad_gntref } = GNTST;
    assert.deepEqual([...batch.frames], [40, general_error, 40, general_error, bad_gntref, bad_gntref]);
    assert.equal(batch.status, general_error);
    assert.equal(flags(8), inUse);
    const one = mapped(control.grantMap(8, { readonly: true }));
    batch.unmap();
    batch.unmap();
    assert.equal(flags(8), GTF_permit_access | GTF_reading, 'mapped once more, by somebody else');
    one.unmap();
    assert.deepEqual([flags(8), flags(9)], [GTF_permit_access, GTF_permit_access | GTF_readonly]);
  });

  it('are as many as a large request has', () => {
    const refs = Array.from({ length: 100 }, (_, i) => 8 + i);
    const { control, flags } = table(...refs.map((ref) => [ref, 20 + (ref % 20)] as const));
    const batch = control.grantMapBatch(refs, { readonly: false });
    assert.equal(batch.status, GNTST.okay);
    assert.deepEqual(
      [...batch.frames],
      refs.map((ref) => 20 + (ref % 20)),
    );
    assert.deepEqual([flags(8), flags(107)], [inUse, inUse]);
    batch.unmap();
    assert.deepEqual([flags(8), flags(107)], [GTF_permit_access, GTF_permit_access]);
  });

  it('are not in use when their frame is no RAM', () => {
    const { control, flags } = table([8, 0xffffffff], [9, 41]);
    const batch = control.grantMapBatch([8, 9], { readonly: true });
    assert.deepEqual([...batch.frames], [GNTST.bad_page, 41]);
    assert.equal(flags(8), GTF_permit_access);
    batch.unmap();
  });

  it('can be copied to and from, and are not in use afterwards', () => {
    const { control, flags } = table([8, 40], [9, 41, GTF_permit_access | GTF_readonly]);
    const from = new Uint8Array(3);
    control.frames.view(41).set([1, 2, 3], 100);
    const statuses = control.grantCopy([
      { ref: 8, offset: 4094, bytes: Uint8Array.of(7, 8), direction: 'to grant' },
      { ref: 9, offset: 100, bytes: from, direction: 'from grant' },
      { ref: 9, offset: 0, bytes: from, direction: 'to grant' },
      { ref: 8, offset: 4094, bytes: from, direction: 'from grant' },
      { ref: 8, offset: -1, bytes: from, direction: 'from grant' },
      { ref: 512, offset: 0, bytes: from, direction: 'from grant' },
    ]);
    const { okay, general_error, bad_copy_arg, bad_gntref } = GNTST;
    assert.deepEqual([...statuses], [okay, okay, general_error, bad_copy_arg, bad_copy_arg, bad_gntref]);
    assert.deepEqual([...control.frames.view(40).subarray(4092)], [0, 0, 7, 8]);
    assert.deepEqual([...from], [1, 2, 3]);
    assert.deepEqual([flags(8), flags(9)], [GTF_permit_access, GTF_permit_access | GTF_readonly]);
  });

  it('stay in use after a copy while they are mapped', () => {
    const { control, flags } = table([8, 40]);
    const mapping = mapped(control.grantMap(8, { readonly: true }));
    control.grantCopy([{ ref: 8, offset: 0, bytes: Uint8Array.of(1), direction: 'to grant' }]);
    assert.equal(flags(8), GTF_permit_access | GTF_reading);
    mapping.unmap();
  });

  it('of a part of a page can be copied from there only', () => {
    const { control } = runInGuest(function* (k) {
      yield* k.op(nr, ops.set_version.nr, GnttabSetVersion, { version: 2 });
      const flags = GTF_permit_access | GTF_sub_page;
      GrantEntryV2.write(k.domain.view, entryAt(k.domain, 8), { frame: 44, domid: 0, flags, page_off: 8, length: 8 });
      yield* k.spin(1);
    });
    const copy = (offset: number) =>
      control.grantCopy([{ ref: 8, offset, bytes: new Uint8Array(4), direction: 'to grant' }])[0];
    assert.deepEqual(
      [copy(8), copy(12), copy(7), copy(13)],
      [GNTST.okay, GNTST.okay, GNTST.general_error, GNTST.general_error],
    );
  });
});
