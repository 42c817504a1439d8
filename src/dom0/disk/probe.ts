/** What a file looks like. For people's commands on files that they trust; a guest's disk is never opened by its looks. */
import { type DiskHost } from './disk-file.ts';
import { type DiskFormat } from './disk.ts';
import { QCOW2_MAGIC } from './qcow2/header.ts';
import { VHD_COOKIE } from './vhd/footer.ts';

export async function probeFormat(host: DiskHost, path: string): Promise<DiskFormat> {
  const file = await host.open(path, { readOnly: true, shared: true });
  try {
    const first = new Uint8Array(512);
    await file.read(0, [first]);
    if (new DataView(first.buffer).getUint32(0) === QCOW2_MAGIC) return 'qcow2';
    if (isCookie(first)) return 'vhd';
    const size = await file.size();
    if (size < 512) return 'raw';
    // A fixed VHD has its footer only, of 511 bytes in old ones.
    const last = new Uint8Array(512);
    await file.read(size - 512, [last]);
    return isCookie(last) || isCookie(last.subarray(1)) ? 'vhd' : 'raw';
  } finally {
    await file.close();
  }
}

function isCookie(bytes: Uint8Array): boolean {
  return new TextDecoder('latin1').decode(bytes.slice(0, 8)) === VHD_COOKIE;
}
