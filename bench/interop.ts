/**
 * npm run interop: a PV guest goes from real Xen to here and back, and one that was booted here goes to real Xen. Real Xen 4.17 is Debian's, on QEMU TCG; what
 * it needs is fetched by apt. Takes about four minutes; the exit code is the verdict.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestTerminal } from '../src/host/testing/guest-terminal.ts';
import { Machine } from '../src/host/testing/machine.ts';
import { GUEST_PROMPT, PLAIN_CONSOLE } from '../src/toolstack/guest-files/guest-files.ts';
import { XenError } from '../src/toolstack/xen-error.ts';
import { guestImage } from './comparison/guest-image.ts';
import { PATIENCE_MS } from './guest/guest-shell.ts';
import type { Machine as Emulated } from './peers/peer.ts';
import { xenDevices, type XenDevices } from './peers/xen-devices.ts';
import { dom0Files } from './peers/xen-dom0.ts';
import { startXenMachine } from './peers/xen-machine.ts';

const MEMORY_MIB = 128;
const MIB = 2 ** 20;
/** Where images are on the disk that domain 0 shares with this side, and how long each may be. */
const SLOT_MIB = 256;
const slots = { fromXen: 0, back: 1, own: 2 } as const;

/** What QEMU's processor has and ours has not: docs/migration.md tells people to hide it. */
const CPUID = 'host,avx=0,avx2=0,f16c=0,fma=0,xsave=0,xsaveopt=0,xsavec=0,xgetbv1=0,xsaves=0,movbe=0,rdrand=0,clwb=0';
/** Seconds that a guest has for an answer: all that runs here runs under emulation. */
const PATIENCE = 200;

const devices: XenDevices = {
  variables: {},
  guests: [{ config: ['vcpus = 2', `cpuid = "${CPUID}"`], devices: {} }],
  drivers: xenDevices.disk.drivers,
  start: [],
};

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** Left in a guest, and what tells whether all of it is still there. */
const prepare = [
  'dd if=/dev/urandom of=/tmp/noise bs=1M count=8 2>/dev/null',
  'sha256sum /tmp/noise > /tmp/sum',
  '(while :; do echo >> /tmp/grows; usleep 20000; done) & sleep 1',
].join('; ');
const look =
  'sha256sum -c /tmp/sum; nproc; a=$(wc -c < /tmp/grows); sleep 2; [ $(wc -c < /tmp/grows) -gt $a ] && echo go""ing';
const intact = /noise: OK\s+2\s+going/;

/** Domain 0 of real Xen, by its shell. */
class RealXen {
  readonly #machine: Emulated;
  readonly #disk: string;

  constructor(machine: Emulated, disk: string) {
    this.#machine = machine;
    this.#disk = disk;
  }

  async run(command: string): Promise<string> {
    const { printed } = await this.#machine.run(command, PATIENCE_MS);
    return printed.text;
  }

  /** At the console of a guest: what it says until the command is through. */
  inGuest(name: string, command: string): Promise<string> {
    const until = (mark: string, meanwhile: string): string =>
      `i=0; until grep -q ${mark} /tmp/said || [ $i -ge ${PATIENCE} ]; do ${meanwhile} sleep 1; i=$((i + 1)); done`;
    // What is typed before there is a shell is lost, and xl's own console takes nothing from a pipe.
    const prompted = until(GUEST_PROMPT.trim(), 'echo;');
    const typed = `(${prompted}; echo '${command}; echo all""-of-it'; ${until('all-of-it', '')}; printf "\\035") | xenconsole $(xl domid ${name}) --num 0 --type pv --interactive`;
    return this.run(`: > /tmp/said; ${typed} > /tmp/said 2>&1; cat /tmp/said`);
  }

  /** Saves a domain, whose image is then a file here. */
  async save(name: string, slot: number, path: string): Promise<void> {
    const told = await this.run(
      `if xl save ${name} /tmp/image 2>/tmp/told; then dd if=/tmp/image of=/dev/vda bs=1M seek=${slot * SLOT_MIB} 2>&1; sync; echo size $(stat -c %s /tmp/image) sum $(md5sum < /tmp/image) end; else cat /tmp/told; df /tmp; fi; rm /tmp/image`,
    );
    const [, length, sum] = /size (\d+) sum ([0-9a-f]{32}) +- end/.exec(told) ?? [];
    const size = Number(length);
    if (!(size > 0 && size <= SLOT_MIB * MIB)) throw new XenError(`real Xen did not save ${name}: ${told.trim()}`);
    const image = Buffer.alloc(size);
    const disk = openSync(this.#disk, 'r');
    readSync(disk, image, 0, size, slot * SLOT_MIB * MIB);
    closeSync(disk);
    if (createHash('md5').update(image).digest('hex') !== sum)
      throw new XenError(`the image of ${name} was changed on its way: ${told.trim()}`);
    writeFileSync(path, image);
  }

  /** What xl said is returned when it failed. */
  async restore(slot: number, path: string): Promise<string | undefined> {
    const image = readFileSync(path);
    const disk = openSync(this.#disk, 'r+');
    writeSync(disk, image, 0, image.length, slot * SLOT_MIB * MIB);
    closeSync(disk);
    const said = await this.run(
      `dd if=/dev/vda bs=1M skip=${slot * SLOT_MIB} count=${SLOT_MIB} 2>/dev/null | head -c ${image.length} > /tmp/image; xl restore /tmp/image 2>&1 && echo restored""-it; rm /tmp/image`,
    );
    return said.includes('restored-it') ? undefined : said.trim();
  }
}

const wrong: string[] = [];
function verdict(what: string, failure: string | undefined): void {
  console.log(`${failure === undefined ? '✔' : '✖'} ${what}`);
  if (failure === undefined) return;
  console.log(failure);
  wrong.push(what);
}
const seen = (text: string): string | undefined => (intact.test(text) ? undefined : text.trim());

async function restoredHere(machine: Machine, file: string, name: string): Promise<GuestTerminal | undefined> {
  const { code, err } = await machine.xl('restore', file);
  verdict(`${name} is restored here`, code === 0 ? undefined : err);
  return code === 0 ? machine.console(name) : undefined;
}

async function toHereAndBack(real: RealXen, machine: Machine): Promise<void> {
  say('a guest of real Xen boots');
  await real.run('xl create -q /guest/guest0.cfg');
  const ready = await real.inGuest('guest0', `${prepare}; ${look}`);
  verdict('guest0 runs in real Xen', seen(ready));
  say('it is saved there');
  const [came, goes] = [machine.path('came.save'), machine.path('goes.save')];
  await real.save('guest0', slots.fromXen, came);
  const terminal = await restoredHere(machine, came, 'guest0');
  if (terminal === undefined) return;
  verdict('guest0 goes on here where it was', seen(await terminal.run(look)));
  const saved = await machine.xl('save', 'guest0', goes);
  verdict('guest0 is saved here', saved.code === 0 ? undefined : saved.err);
  if (saved.code !== 0) return;
  say('it goes back');
  const refused = await real.restore(slots.back, goes);
  verdict('guest0 is restored in real Xen', refused);
  if (refused !== undefined) return;
  verdict('guest0 goes on in real Xen where it was', seen(await real.inGuest('guest0', look)));
  await real.run('xl destroy guest0');
}

async function fromHere(real: RealXen, machine: Machine): Promise<void> {
  say('a guest boots here');
  const { kernel, ramdisk } = await guestImage('amd64', say);
  const cmdline = `console=hvc0 ${PLAIN_CONSOLE}`;
  const terminal = await machine.boot({ name: 'own', kernel, ramdisk, cmdline, memory: MEMORY_MIB, vcpus: 2 });
  await terminal.ready();
  await terminal.run(prepare);
  verdict('own runs here', seen(await terminal.run(look)));
  const file = machine.path('own.save');
  await machine.ok('save', 'own', file);
  const refused = await real.restore(slots.own, file);
  verdict('own is restored in real Xen', refused);
  if (refused === undefined) verdict('own goes on in real Xen where it was', seen(await real.inGuest('own', look)));
}

async function interop(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-interop-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const disk = join(folder, 'disk.img');
  const file = openSync(disk, 'wx');
  ftruncateSync(file, Object.keys(slots).length * SLOT_MIB * MIB);
  closeSync(file);
  const dom0 = await dom0Files(await guestImage('amd64', say), MEMORY_MIB, devices, say);
  say('real Xen comes up');
  const emulated = await startXenMachine({ dom0, guestsMib: 2 * MEMORY_MIB, disk });
  const machine = new Machine();
  try {
    const real = new RealXen(emulated, disk);
    await toHereAndBack(real, machine);
    await fromHere(real, machine);
  } finally {
    await machine.close();
    await emulated.stop();
  }
}

try {
  await interop();
} catch (error) {
  if (!(error instanceof XenError)) throw error;
  verdict(error.message, error.hint ?? '');
}
process.exitCode = wrong.length === 0 ? 0 : 1;
