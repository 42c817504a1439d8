/** v86-process MIB BIOS VGABIOS KERNEL RAMDISK CMDLINE: a PC whose first serial port is this process's standard input and output. */
import { readFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';

const STDOUT = 1;
const VGA_BYTES = 2 << 20;

const [mib = '', bios = '', vgaBios = '', kernel = '', ramdisk = '', cmdline = ''] = process.argv.slice(2);

function image(path: string): { readonly buffer: ArrayBuffer } {
  const { buffer, byteOffset, byteLength } = readFileSync(path);
  return { buffer: buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer };
}

const machine = new V86({
  wasm_path: fileURLToPath(new URL('v86.wasm', import.meta.resolve('v86'))),
  memory_size: Number(mib) << 20,
  vga_memory_size: VGA_BYTES,
  bios: image(bios),
  vga_bios: image(vgaBios),
  bzimage: image(kernel),
  initrd: image(ramdisk),
  cmdline,
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});

// At once, as the arrival of a line is what the guest's clock is held against.
machine.add_listener('serial0-output-byte', (byte) => writeSync(STDOUT, Uint8Array.of(byte)));
process.stdin.on('data', (bytes: Uint8Array) => machine.serial_send_bytes(0, bytes));
