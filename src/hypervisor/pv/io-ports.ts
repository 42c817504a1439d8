/**
 * Port I/O of a domain without ports: writes go nowhere, reads give all ones, and a few registers remember what was
 * written to them. After guest_io_read and guest_io_write in xen/arch/x86/pv/emul-priv-op.c.
 */
import { VMASST_TYPE } from '../../abi/arch-x86/xen-x86_64.ts';
import type { PvVcpu } from './pv-vcpu.ts';

interface PortRow {
  readonly first: number;
  readonly last: number;
  readonly what: string;
  /** One byte; absent: 0xff. */
  readonly read?: (pv: PvVcpu, port: number) => number;
  readonly write?: (pv: PvVcpu, port: number, value: number) => void;
}

const ports: readonly PortRow[] = [
  {
    // Departs from Xen, which gives 0xff here: with it Linux's calibration makes 100,000 reads before it gives up, with
    // any other constant it gives up at once (arch/x86/kernel/tsc.c, quick_pit_calibrate). The log line is the same.
    first: 0x42,
    last: 0x42,
    what: 'PIT channel 2',
    read: () => 0,
  },
  {
    first: 0x70,
    last: 0x70,
    what: 'CMOS index',
    read: (pv) => pv.state.word('cmosIndex'),
    write: (pv, _, value) => pv.state.setWord('cmosIndex', value & 0x7f),
  },
];

const CONFIG_ADDRESS = 0xcf8;

export function readPort(pv: PvVcpu, port: number, bytes: number): number {
  if (port === CONFIG_ADDRESS && bytes === 4) return pv.state.word('pciCf8');
  let value = 0;
  for (let i = 0; i < bytes; i++) {
    const row = rowOf(port + i);
    value |= (row?.read ? row.read(pv, port + i) & 0xff : 0xff) << (8 * i);
  }
  return value >>> 0;
}

export function writePort(pv: PvVcpu, port: number, bytes: number, value: number): void {
  if (port === CONFIG_ADDRESS && bytes === 4) {
    pv.state.setWord('pciCf8', value);
    return;
  }
  for (let i = 0; i < bytes; i++) rowOf(port + i)?.write?.(pv, port + i, (value >>> (8 * i)) & 0xff);
}

function rowOf(port: number): PortRow | undefined {
  for (const row of ports) if (port >= row.first && port <= row.last) return row;
  return undefined;
}

/** iopl_ok: a PV kernel counts as ring 1 unless it asked for the architectural rules. */
export function ioplOkay(pv: PvVcpu): boolean {
  const { vcpu, domain } = pv;
  const architectural = (domain.get('vmAssist') & (1 << VMASST_TYPE.architectural_iopl)) !== 0;
  const cpl = vcpu.kernelMode ? (architectural ? 0 : 1) : 3;
  return cpl <= vcpu.get('ioplRing');
}

/** guest_io_okay: by privilege level, or by the bitmap that the guest's kernel keeps (PHYSDEVOP_set_iobitmap). */
export function ioAllowed(pv: PvVcpu, port: number, bytes: number): boolean {
  if (ioplOkay(pv)) return true;
  const { vcpu } = pv;
  if (port + bytes > vcpu.get('ioBitmapPorts')) return false;
  const at = vcpu.getDouble('ioBitmapVa') + (port >>> 3);
  // What cannot be read counts as forbidden.
  const word = pv.inKernelView(
    () => vcpu.guest.view(at, 2)?.getUint16(0, true) ?? (vcpu.guest.view(at, 1)?.getUint8(0) ?? 0xff) | 0xff00,
  );
  return (word & (((1 << bytes) - 1) << (port & 7))) === 0;
}
