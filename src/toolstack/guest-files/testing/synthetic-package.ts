/** Tar archives, Debian packages, kernel modules and an apt that knows only them, for tests. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ELF_MAGIC, Elf64Ehdr, Elf64Shdr, ELFCLASS64, ELFDATA2LSB, EM_X86_64, SHT_PROGBITS } from '../../../abi/elf.ts';

export interface TarFile {
  readonly name: string;
  readonly content?: Uint8Array | string;
  /** `0` for a file, `5` a folder, `2` a link, as in the archive. */
  readonly type?: string;
  readonly linkName?: string;
}

export function tar(files: readonly TarFile[]): Uint8Array {
  return Buffer.concat([...files.flatMap(tarRecord), Buffer.alloc(1024)]);
}

function tarRecord({ name, content = '', type = '0', linkName = '' }: TarFile): Uint8Array[] {
  const body = Buffer.from(content);
  const long = name.length > 100 ? tarRecord({ name: '././@LongLink', type: 'L', content: `${name}\0` }) : [];
  const header = Buffer.alloc(512);
  header.write(name.slice(0, 100), 0);
  header.write('0000644\0', 100);
  header.write(body.length.toString(8).padStart(11, '0'), 124);
  header.write(type, 156);
  header.write(linkName, 157);
  header.write('ustar  \0', 257);
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return [...long, header, body, Buffer.alloc((512 - (body.length % 512)) % 512)];
}

export function deb(
  files: readonly TarFile[],
  data = 'data.tar.gz',
  packed: Uint8Array = gzipSync(tar(files)),
): Uint8Array {
  const members: [string, Uint8Array][] = [
    ['debian-binary', Buffer.from('2.0\n')],
    ['control.tar.gz', gzipSync(tar([]))],
    [data, packed],
  ];
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    ...members.flatMap(([name, content]) => [
      Buffer.from(
        `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
      ),
      content,
      Buffer.alloc(content.length % 2, '\n'),
    ]),
  ]);
}

/** A relocatable ELF file with nothing but the module's description of itself. */
export function kernelModule(modinfo: readonly string[]): Uint8Array {
  const info = Buffer.from(modinfo.map((entry) => `${entry}\0`).join(''));
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const tableAt = Elf64Ehdr.size + info.length + names.length;
  const elf = new Uint8Array(tableAt + 3 * Elf64Shdr.size);
  const view = new DataView(elf.buffer);
  Elf64Ehdr.write(view, 0, {
    e_ident: Uint8Array.of(...ELF_MAGIC, ELFCLASS64, ELFDATA2LSB, 1),
    e_type: 1,
    e_machine: EM_X86_64,
    e_shoff: tableAt,
    e_shentsize: Elf64Shdr.size,
    e_shnum: 3,
    e_shstrndx: 2,
  });
  elf.set(info, Elf64Ehdr.size);
  elf.set(names, Elf64Ehdr.size + info.length);
  const section = (i: number, sh_name: number, sh_offset: number, sh_size: number): void =>
    Elf64Shdr.write(view, tableAt + i * Elf64Shdr.size, { sh_name, sh_type: SHT_PROGBITS, sh_offset, sh_size });
  section(1, 1, Elf64Ehdr.size, info.length);
  section(2, 10, Elf64Ehdr.size + info.length, names.length);
  return elf;
}

export interface FakePackage {
  readonly version: string;
  readonly depends?: string;
  readonly deb?: Uint8Array;
}

/**
 * Writes an `apt-get` and an `apt-cache` that serve these packages (of amd64, or named NAME:i386), and a log of their calls. Gives the folder to put on
 * the PATH.
 */
export async function fakeApt(folder: string, packages: Readonly<Record<string, FakePackage>>): Promise<string> {
  const bin = join(folder, 'bin');
  const pool = join(folder, 'pool');
  await mkdir(bin, { recursive: true });
  await mkdir(pool, { recursive: true });
  for (const [key, { version, depends, deb: content }] of Object.entries(packages)) {
    const [name = '', architecture = 'amd64'] = key.split(':');
    const fields = [
      `Package: ${name}`,
      `Version: ${version}`,
      `Architecture: ${architecture}`,
      `Size: ${content?.length ?? 0}`,
    ];
    if (depends !== undefined) fields.push(`Depends: ${depends}`);
    await writeFile(join(pool, `${name}:${architecture}.control`), `${fields.join('\n')}\n\n`);
    if (content !== undefined) await writeFile(join(pool, `${name}:${architecture}.deb`), content);
  }
  const script = `#!/bin/sh
echo "$(basename "$0") $*" >> "${folder}/calls"
for word; do
  case "$word" in
    update) exit 0 ;;
    *:amd64|*:i386) cat "${pool}/$word.control" 2>/dev/null || exit 100; exit 0 ;;
    *:amd64=*|*:i386=*) cp "${pool}/\${word%%=*}.deb" "./\${word%%:*}_1_any.deb" || exit 100; exit 0 ;;
  esac
done
echo "E: Unable to locate package" >&2
exit 100
`;
  for (const program of ['apt-get', 'apt-cache']) {
    await writeFile(join(bin, program), script);
    await chmod(join(bin, program), 0o755);
  }
  return bin;
}
