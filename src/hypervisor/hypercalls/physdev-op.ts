/** HYPERVISOR_physdev_op, number 33. After xen/include/public/physdev.h and xen/arch/x86/physdev.c. */
import { Errno } from '../../abi/errno.ts';
import { PhysdevIrqStatusQuery, PhysdevPirqEoiGmfn, PhysdevSetIobitmap, PhysdevSetIopl } from '../../abi/physdev.ts';
import type { HypercallRow, OpTable } from '../hypercall.ts';
import { dispatchOps, full, none, op, refusedOp } from '../hypercall.ts';
import type { Vcpu } from '../vcpu.ts';

const MAX_IOPL = 3;
const MAX_PORTS = 65536;
const controlDomain = none('for the control domain and passed-through devices', Errno.EPERM);

export const physdevOps = {
  irq_status_query: op({ nr: 5, arg: PhysdevIrqStatusQuery, support: full, run: () => Errno.EINVAL }),
  set_iopl: op({ nr: 6, arg: PhysdevSetIopl, support: full, run: (vcpu, a) => setIopl(vcpu, a.iopl) }),
  set_iobitmap: op({
    nr: 7,
    arg: PhysdevSetIobitmap,
    support: full,
    run: (vcpu, a) => setIobitmap(vcpu, a.bitmap, a.nr_ports),
  }),
  apic_read: refusedOp(8, controlDomain),
  apic_write: refusedOp(9, controlDomain),
  alloc_irq_vector: refusedOp(10, controlDomain),
  eoi: op({ nr: 12, arg: PhysdevSetIopl, support: full, run: () => Errno.EINVAL }),
  map_pirq: refusedOp(13, controlDomain),
  unmap_pirq: refusedOp(14, controlDomain),
  manage_pci_add: refusedOp(15, controlDomain),
  manage_pci_remove: refusedOp(16, controlDomain),
  pirq_eoi_gmfn_v1: op({ nr: 17, arg: PhysdevPirqEoiGmfn, support: full, run: (vcpu, a) => pirqEoiMap(vcpu, a.gmfn) }),
  manage_pci_add_ext: refusedOp(20, controlDomain),
  setup_gsi: refusedOp(21, controlDomain),
  get_free_pirq: refusedOp(23, controlDomain),
  pci_mmcfg_reserved: refusedOp(24, controlDomain),
  pci_device_add: refusedOp(25, controlDomain),
  pci_device_remove: refusedOp(26, controlDomain),
  restore_msi_ext: refusedOp(27, controlDomain),
  pirq_eoi_gmfn_v2: op({ nr: 28, arg: PhysdevPirqEoiGmfn, support: full, run: (vcpu, a) => pirqEoiMap(vcpu, a.gmfn) }),
  dbgp_op: refusedOp(29, none('no EHCI debug port')),
  prepare_msix: refusedOp(30, controlDomain),
  release_msix: refusedOp(31, controlDomain),
} satisfies OpTable;

const dispatch = dispatchOps(physdevOps);

export const physdevOpRow: HypercallRow = {
  nr: 33,
  name: 'physdev_op',
  args: ['cmd', 'arg'],
  support: full,
  run: (vcpu, args) => dispatch(vcpu, args.u32(0), args.num(1), args),
};

/** The privilege level from which the guest's I/O instructions are emulated rather than refused. */
function setIopl(vcpu: Vcpu, iopl: number): number {
  if (iopl > MAX_IOPL) return Errno.EINVAL;
  vcpu.set('ioplRing', iopl);
  return 0;
}

function setIobitmap(vcpu: Vcpu, bitmap: number, ports: number): number {
  if (ports > MAX_PORTS) return Errno.EINVAL;
  if (bitmap !== 0 && !vcpu.guest.allowed(bitmap, Math.ceil(ports / 8))) return Errno.EINVAL;
  vcpu.setDouble('ioBitmapVa', bitmap);
  vcpu.set('ioBitmapPorts', bitmap === 0 ? 0 : ports);
  return 0;
}

/** A page of bits that tell which pirqs need an EOI: none does, so the page is only kept. */
function pirqEoiMap(vcpu: Vcpu, mfn: number): number {
  const { domain } = vcpu;
  return domain.locked(() => {
    const { kind } = vcpu.platform;
    if (!kind.getWritable(domain, mfn)) return Errno.EINVAL;
    if (domain.get('pirqEoiMfn') !== 0) {
      kind.putWritable(domain, mfn);
      return Errno.EBUSY;
    }
    domain.set('pirqEoiMfn', mfn);
    return 0;
  });
}
