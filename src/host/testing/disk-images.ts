/** Images for guests of tests: made without a guest, and looked into when it is gone. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openDisk, type DiskFormat } from '../../dom0/disk/index.ts';
import { createQcow2 } from '../../dom0/disk/qcow2/create.ts';
import { nodeDiskHost } from '../node/disk-files.ts';

const MiB = 2 ** 20;

/** A raw image full of nothing. */
export function makeRaw(path: string, sizeMiB: number): void {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeMiB * MiB);
  closeSync(fd);
}

/** A raw image with an ext4 file system. */
export function makeExt4(path: string, sizeMiB: number): void {
  makeRaw(path, sizeMiB);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0', path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** An empty qcow2 image, or one with what a raw image holds. */
export async function makeQcow2(
  path: string,
  source: { readonly sizeMiB: number } | { readonly raw: string },
): Promise<void> {
  const raw = 'raw' in source ? await openDisk(nodeDiskHost, source.raw, { format: 'raw', readOnly: true }) : undefined;
  const size = 'raw' in source ? (raw?.size ?? 0) : source.sizeMiB * MiB;
  const file = await nodeDiskHost.create(path);
  await createQcow2(file, { size });
  await file.close();
  if (raw === undefined) return;
  const disk = await openDisk(nodeDiskHost, path, { format: 'qcow2', readOnly: false });
  for (let at = 0; at < size; at += MiB) {
    const piece = new Uint8Array(Math.min(MiB, size - at));
    await raw.read(at, [piece]);
    if (piece.some((byte) => byte !== 0)) await disk.write(at, [piece]);
  }
  await raw.close();
  await disk.close();
}

/** An ext4 image with the files of Debian packages, those in the folder that are wanted, and places to mount on. */
export function makeToolDisk(path: string, folder: string, wanted: (name: string) => boolean): void {
  const tree = `${path}.files`;
  for (const place of ['dev', 'proc', 'sys', 'tmp', 'mnt']) mkdirSync(join(tree, place), { recursive: true });
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.deb') && wanted(file)))
    execFileSync('dpkg-deb', ['--extract', join(folder, name), tree]);
  makeRaw(path, 512);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, path], { stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(tree, { recursive: true });
}

/** All that a guest would read. */
export async function contentOf(path: string, format: DiskFormat): Promise<Uint8Array> {
  const disk = await openDisk(nodeDiskHost, path, { format, readOnly: true });
  const bytes = new Uint8Array(disk.size);
  for (let at = 0; at < disk.size; at += MiB) await disk.read(at, [bytes.subarray(at, at + MiB)]);
  await disk.close();
  return bytes;
}

/** An image as a raw file beside it, sparse. */
export async function asRaw(path: string, format: DiskFormat): Promise<string> {
  if (format === 'raw') return path;
  const disk = await openDisk(nodeDiskHost, path, { format, readOnly: true });
  const fd = openSync(`${path}.raw`, 'w');
  ftruncateSync(fd, disk.size);
  const piece = new Uint8Array(MiB);
  for (let at = 0; at < disk.size; at += MiB) {
    const part = piece.subarray(0, Math.min(MiB, disk.size - at));
    await disk.read(at, [part]);
    if (part.some((byte) => byte !== 0)) writeSync(fd, part, 0, part.length, at);
  }
  closeSync(fd);
  await disk.close();
  return `${path}.raw`;
}

/** A file out of an ext4 image. */
export function fileIn(image: string, file: string): Buffer {
  return execFileSync('debugfs', ['-R', `cat ${file}`, image], {
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * MiB,
  });
}

/** What e2fsck finds wrong; empty when nothing is. `replay`: the journal first, as the next mount would. */
export function ext4Faults(image: string, replay = false): string {
  if (replay) spawnSync('e2fsck', ['-E', 'journal_only', '-y', image], { stdio: 'ignore' });
  const { status, stdout } = spawnSync('e2fsck', ['-f', '-n', image], { encoding: 'utf8' });
  return status === 0 ? '' : stdout;
}

/** What QEMU finds wrong with a qcow2 image; empty when nothing is, undefined without QEMU. Leaks lose nothing but space. */
export function qcow2Faults(image: string): string | undefined {
  const { status, stdout, error } = spawnSync('qemu-img', ['check', '-f', 'qcow2', image], { encoding: 'utf8' });
  if (error !== undefined) return undefined;
  const leaksOnly = 3;
  return status === 0 || status === leaksOnly ? '' : stdout;
}
