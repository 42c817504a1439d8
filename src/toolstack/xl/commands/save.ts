/** `xl save` */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AfterSave } from '../../migration/transfer.ts';
import { partOf, replaceable } from '../../migration/save-path.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';
import { showFrames } from '../frames-progress.ts';
import { headerOf } from '../saved-config.ts';
import { systemMessage } from '../../system-message.ts';

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { has, arguments: given } = await readArguments(invocation, { short: 'cpD' }, 2);
  const [name = '', file = '', configFile] = given;
  if (given.length > 3) {
    await printHelp(invocation, 'save');
    return 1;
  }
  const domid = await findDomain(invocation, name);
  const header = await headerOf(invocation, domid, { configFile, keepDomid: has('D') });
  let rename: string | undefined;
  let path = resolve(file);
  let offset: number;
  try {
    rename = replaceable(path);
    // Under another name until it is complete: a domain may still read an older one of that name.
    if (rename !== undefined) path = partOf(rename);
    const fd = openSync(path, 'w', 0o600);
    offset = writeSync(fd, header.bytes);
    closeSync(fd);
  } catch (error) {
    err(`Failed to open temp file ${file} for writing: ${systemMessage(error)}`);
    return 1;
  }
  err(`Saving to ${file} new xl format (info ${header.info})`);
  const after: AfterSave = has('p') ? 'pause' : has('c') ? 'run' : 'destroy';
  const client = await invocation.daemon();
  const frames = showFrames(err);
  client.onEvent = frames.event;
  const failure = await attempt(invocation, () =>
    client.call('save', { domid, path, offset, after, ...(rename && { rename }) }),
  );
  frames.end();
  if (failure === undefined) return 0;
  err('Failed to save domain, resuming domain');
  // Half a domain is of no use to anybody.
  if (rename !== undefined) rmSync(path, { force: true });
  return 1;
}
