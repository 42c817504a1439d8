/** `xl vncviewer`: domains have no framebuffer to look at yet, so there is no port to connect to. */
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';

const long = { autopass: 'a', 'vncviewer-autopass': 'a' };

export async function run(invocation: Invocation): Promise<number> {
  const { arguments: given } = await readArguments(invocation, { short: 'a', long }, 1);
  const domid = await findDomain(invocation, given[0] ?? '');
  const prefix = domid === 0 ? '' : `Domain ${domid}:`;
  invocation.err(libxlLine('libxl_vncviewer_exec', `${prefix}Cannot get vnc-port`));
  return 1;
}
