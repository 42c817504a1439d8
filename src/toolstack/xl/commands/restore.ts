/** `xl restore`: the file is looked at as far as xl does before it needs the hypervisor; the rest comes with saving. */
import { closeSync, openSync, readSync } from 'node:fs';
import { printHelp, readArguments, type Invocation } from '../command.ts';
import { systemMessage } from '../../system-message.ts';

const long = { vncviewer: 'V', 'vncviewer-autopass': 'A' };
/** xen/tools/xl/xl.h, savefileheader_magic and struct save_file_header. */
const magic = 'Xen saved domain, xl format\n \0 \r';
const headerSize = magic.length + 16;
const byteOrder = 0x01020304;

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { arguments: given } = await readArguments(invocation, { short: 'FcpdeVA', long }, 1);
  const file = given.length === 1 ? given[0] : given[1];
  if (file === undefined || given.length > 2) {
    await printHelp(invocation, 'restore');
    return 1;
  }
  const header = Buffer.alloc(headerSize);
  let length: number;
  try {
    const fd = openSync(file, 'r');
    length = readSync(fd, header);
    closeSync(fd);
  } catch (error) {
    err(`Can't open restore file: ${systemMessage(error)}`);
    return 1;
  }
  const wrong =
    length < headerSize
      ? 'File is too short for the header of a saved domain'
      : header.toString('latin1', 0, magic.length) !== magic
        ? 'File has wrong magic number - corrupt or for a different tool?'
        : header.readUInt32LE(magic.length) !== byteOrder
          ? 'File has wrong byte order'
          : undefined;
  err(wrong ?? 'xl: restore is not supported yet');
  return 1;
}
