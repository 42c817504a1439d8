/** A .deb package: an `ar` archive whose member `data.tar.*` holds the files (deb(5), ar(5)). */
import { CorruptData } from '../builder/compression/corrupt-data.ts';
import { MAX_PLAIN, unzstd } from '../builder/compression/decompress.ts';
import { gunzipMember } from '../builder/compression/gzip.ts';
import { unlzma } from '../builder/compression/lzma-alone.ts';
import { unxz } from '../builder/compression/xz.ts';

const AR_MAGIC = '!<arch>\n';
const HEADER_SIZE = 60;
const SIZE_AT = 48;
const SIZE_LENGTH = 10;

/** Called with how much of the package has been unpacked. */
export type Consumed = (fraction: number) => void;

/** The pieces of the package's data archive, a tar file. */
export function debData(deb: Uint8Array, consumed: Consumed = () => undefined): Iterable<Uint8Array> {
  const data = members(deb).find(({ name }) => name.startsWith('data.tar'));
  if (data === undefined) throw new CorruptData('the package has no data archive');
  const { name, content } = data;
  switch (name) {
    case 'data.tar':
      return [content];
    case 'data.tar.xz':
      return unxz(content, (at) => consumed(at / content.length));
    case 'data.tar.gz':
      return [gunzipMember(content, MAX_PLAIN).plain];
    case 'data.tar.zst':
      return [unzstd(content, MAX_PLAIN)];
    case 'data.tar.lzma':
      return [unlzma(content, MAX_PLAIN)];
    default:
      throw new CorruptData(`${name} in the package is compressed in an unknown way`);
  }
}

function members(deb: Uint8Array): { name: string; content: Uint8Array }[] {
  if (ascii(deb, 0, AR_MAGIC.length) !== AR_MAGIC) throw new CorruptData('not a Debian package');
  const found: { name: string; content: Uint8Array }[] = [];
  let at = AR_MAGIC.length;
  while (at < deb.length) {
    const sizeText = ascii(deb, at + SIZE_AT, SIZE_LENGTH).trim();
    const size = Number(sizeText);
    const start = at + HEADER_SIZE;
    if (!/^\d+$/.test(sizeText) || ascii(deb, start - 2, 2) !== '`\n') throw new CorruptData('the package is damaged');
    if (start + size > deb.length) throw new CorruptData('the package ends early');
    const name = ascii(deb, at, 16).trim().replace(/\/$/, '');
    found.push({ name, content: deb.subarray(start, start + size) });
    at = start + size + (size % 2);
  }
  return found;
}

function ascii(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
