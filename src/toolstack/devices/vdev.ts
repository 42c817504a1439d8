/** Names of virtual disks and their numbers (xen/docs/man/xen-vbd-interface.7.pandoc; libxl__device_disk_dev_number). */

const maxXvdDisk = (1 << 20) - 1;
const maxInt = 0x7fffffff;

/** `xvda1`, `d0p1`, `sdb`, `hda`, or the number itself, in any of C's notations. Undefined for what is none of these. */
export function diskNumber(vdev: string): number | undefined {
  const xvd = numbered(vdev) ?? lettered(vdev, 'xvd', maxXvdDisk, 255);
  if (xvd !== undefined) {
    const { disk, partition } = xvd;
    if (disk <= 15 && partition <= 15) return (202 << 8) | (disk << 4) | partition;
    return ((1 << 28) | (disk << 8) | partition) >>> 0;
  }
  const number = cNumber(vdev);
  if (number !== undefined) return number <= maxInt ? number : undefined;
  const hd = lettered(vdev, 'hd', 3, 63);
  if (hd !== undefined) return ((hd.disk < 2 ? 3 : 22) << 8) | ((hd.disk & 1) << 6) | hd.partition;
  const sd = lettered(vdev, 'sd', 15, 15);
  return sd === undefined ? undefined : (8 << 8) | (sd.disk << 4) | sd.partition;
}

interface Place {
  readonly disk: number;
  readonly partition: number;
}

/** `d<disk>p<partition>` */
function numbered(vdev: string): Place | undefined {
  const [, first = '', second = ''] = /^d([0-9a-fx]+)p([0-9a-fx]+)$/i.exec(vdev) ?? [];
  const disk = cNumber(first);
  const partition = cNumber(second);
  if (disk === undefined || partition === undefined || disk > maxXvdDisk || partition > 255) return undefined;
  return { disk, partition };
}

/** Letters count disks: a … z, aa, ab …; what follows is the partition, without leading zeroes. */
function lettered(vdev: string, type: string, maxDisk: number, maxPartition: number): Place | undefined {
  const [, letters = '', digits] = new RegExp(`^${type}([a-z]+)([1-9][0-9]{0,3})?$`).exec(vdev) ?? [];
  if (letters === '') return undefined;
  let disk = -1;
  for (const letter of letters) {
    disk = (disk + 1) * 26 + (letter.charCodeAt(0) - 97);
    if (disk > maxDisk) return undefined;
  }
  const partition = Number(digits ?? 0);
  return partition <= maxPartition ? { disk, partition } : undefined;
}

/** strtoul(3) with base 0: decimal, 0x…, 0…. */
function cNumber(text: string): number | undefined {
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8);
  if (/^[1-9][0-9]*$/.test(text) || /^0x[0-9a-f]+$/i.test(text)) return Number(text);
  return undefined;
}
