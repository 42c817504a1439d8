/**
 * A process that writes to a qcow2 image is killed, again and again: what it had flushed is there, and the image is whole. XENOLITH_KILLS
 * says how often, 20 times by default.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { openDisk, SECTOR_SIZE } from '../../dom0/disk/index.ts';
import { runImageTool } from '../../toolstack/image/run.ts';
import { nodeDiskHost } from './disk-files.ts';
import { crashPlan, DISK_SECTORS, versionOf } from './testing/crash-plan.ts';
import { qemuCheck, qemuImg, withoutQemu } from './testing/qemu-tools.ts';

const kills = Number(process.env['XENOLITH_KILLS'] ?? 20);
const folder = mkdtempSync(join(tmpdir(), 'xenolith-crash-'));
after(() => rmSync(folder, { recursive: true }));

/** Which write each sector is from. */
async function readVersions(path: string): Promise<number[]> {
  const disk = await openDisk(nodeDiskHost, path, { format: 'qcow2', readOnly: true });
  const bytes = new Uint8Array(disk.size);
  await disk.read(0, [bytes]);
  await disk.close();
  return Array.from({ length: DISK_SECTORS }, (_, sector) => {
    const version = versionOf(bytes.subarray(sector * SECTOR_SIZE, (sector + 1) * SECTOR_SIZE), sector);
    assert.notEqual(version, undefined, `sector ${sector} is mixed up`);
    return version ?? 0;
  });
}

/** Starts the writer, kills it a moment after its first flush, and returns the last version that it said was flushed. */
async function writeAndKill(path: string, seed: number, firstVersion: number): Promise<number> {
  const program = join(import.meta.dirname, 'testing/crash-writer.ts');
  const writer = spawn(process.execPath, [program, path, String(seed), String(firstVersion)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let flushed = firstVersion - 1;
  const lines = createInterface(writer.stdout);
  // So many batches, and then somewhere within one.
  const batches = 1 + (seed % 9);
  let seen = 0;
  lines.on('line', (line) => {
    flushed = Number(line);
    if (++seen === batches) setTimeout(() => writer.kill('SIGKILL'), (seed >>> 4) % 12);
  });
  const [, signal] = (await once(writer, 'close')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL');
  return flushed;
}

/** The versions that each sector may have: that of the last flushed step, or of one that was under way. */
function allowed(before: readonly number[], seed: number, firstVersion: number, flushed: number): Set<number>[] {
  const versions = before.map((version) => new Set([version]));
  for (const batch of crashPlan(seed, firstVersion)) {
    const isFlushed = (batch[0]?.version ?? 0) <= flushed;
    for (const { version, kind, sector, count } of batch) {
      for (let at = sector; at < sector + count; at++) {
        if (isFlushed) versions[at] = new Set();
        versions[at]?.add(kind === 'clear' ? 0 : version);
      }
    }
    if (!isFlushed) return versions;
  }
  return versions;
}

describe('a qcow2 image whose writer is killed', { skip: withoutQemu }, () => {
  for (const [layout, share] of [
    ['cluster_size=64k', 0.4],
    ['cluster_size=4k', 0.3],
    ['cluster_size=512,refcount_bits=64', 0.15],
    ['cluster_size=16k,lazy_refcounts=on', 0.15],
  ] as const) {
    const times = Math.max(1, Math.round(kills * share));
    it(`has all that was flushed, and is whole, ${times} times (${layout})`, async () => {
      const path = join(folder, `${layout.replace(/\W/g, '-')}.qcow2`);
      await qemuImg('create', '-q', '-f', 'qcow2', '-o', layout, path, String(DISK_SECTORS * SECTOR_SIZE));
      let versions = await readVersions(path);
      let firstVersion = 1;
      for (let kill = 0; kill < times; kill++) {
        const seed = Math.floor(Math.random() * 2 ** 31);
        const flushed = await writeAndKill(path, seed, firstVersion);
        if (!layout.includes('lazy')) {
          const { corruptions = 0 } = await qemuCheck(path);
          assert.equal(corruptions, 0, `seed ${seed}`);
        }
        const may = allowed(versions, seed, firstVersion, flushed);
        versions = await readVersions(path);
        versions.forEach((version, sector) => {
          assert.ok(may[sector]?.has(version), `sector ${sector} is of write ${version}, seed ${seed}, kill ${kill}`);
        });
        firstVersion = flushed + 1000;
      }
      const silent = { out: () => undefined, err: () => undefined, terminal: process.stderr };
      const surroundings = {
        ...silent,
        host: nodeDiskHost,
        now: Date.now,
        random: (length: number) => new Uint8Array(length),
      };
      await runImageTool(['check', '-r', 'all', path], surroundings);
      const { corruptions = 0, leaks = 0 } = await qemuCheck(path);
      assert.deepEqual({ corruptions, leaks }, { corruptions: 0, leaks: 0 });
    });
  }
});
