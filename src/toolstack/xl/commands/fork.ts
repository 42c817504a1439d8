/** `xl fork`, which Xen's xl does not have: clones of a domain, which goes on, or of a saved one. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatJson, type JsonObject, type JsonValue } from '../../config/json.ts';
import type { CloneSummary } from '../../daemon/migration-protocol.ts';
import { XlSaveHeader } from '../../migration/stream-format.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';
import { readHeader, savedConfig } from '../saved-config.ts';

const rules = { short: 'pn:j', long: { count: 'n:', name: 'N:', json: 'j' } };
const MOST = 1000;

export async function run(invocation: Invocation): Promise<number> {
  const { out, err } = invocation;
  const { has, valueOf, arguments: given } = await readArguments(invocation, rules, 1);
  const text = valueOf('n') ?? '1';
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MOST || given.length > 1) {
    err(given.length > 1 ? 'One domain is forked at a time.\n' : `-n takes a whole number from 1 to ${MOST}.\n`);
    await printHelp({ out }, invocation.name);
    return 2;
  }
  const of = await parentOf(invocation, given[0] ?? '');
  const name = valueOf('N');
  const client = await invocation.daemon();
  const wanted = { count, paused: has('p'), ...(name === undefined ? {} : { name }) };
  let clones: readonly CloneSummary[] | undefined;
  await attempt(invocation, async () => {
    const { domid } = of;
    ({ clones } = await (domid === undefined
      ? client.call('forkSaved', { ...of, ...wanted })
      : client.call('fork', { domid, ...wanted })));
  });
  if (clones === undefined) return 1;
  if (has('j')) out(`${formatJson(clones as unknown as JsonValue)}\n`);
  else for (const clone of clones) out(`${clone.name} (domain ${clone.domid})\n`);
  return 0;
}

interface SavedDomain {
  readonly domid?: undefined;
  readonly config: JsonObject;
  readonly path: string;
  /** Of what stands behind xl's header. */
  readonly offset: number;
}

/** A domain, or else the file of a saved one. */
async function parentOf(invocation: Invocation, text: string): Promise<{ readonly domid: number } | SavedDomain> {
  const { err } = invocation;
  const isDomain =
    /^[0-9]*$/.test(text) || (await (await invocation.daemon()).call('domid', { name: text })).domid !== null;
  if (isDomain || !existsSync(text)) return { domid: await findDomain(invocation, text) };
  const saved = await readHeader(text, err);
  return {
    config: savedConfig(saved, err) as unknown as JsonObject,
    path: resolve(text),
    offset: XlSaveHeader.size + saved.optionalLength,
  };
}
