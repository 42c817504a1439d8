/**
 * `xl KIND-attach`, `-list` and `-detach` of split devices that have no backend here: TPMs, keyboards, displays, sound cards. No domain has
 * one, so lists are empty and nothing can be detached; what is attached is read and refused.
 */
import { ConfigError } from '../../config/config-error.ts';
import { parseKeyboard, parseVdispl } from '../../config/device-specs.ts';
import { formatJson, type JsonObject } from '../../config/json.ts';
import { atoi } from '../../config/numbers.ts';
import { parseUuid } from '../../config/uuid.ts';
import { parseVsndItems } from '../../config/vsnd-spec.ts';
import { libxlLine } from '../../domain/libxl-error.ts';
import { findDomain, readArguments, type Invocation } from '../command.ts';
import { domainOrComplaint } from '../domain-argument.ts';

interface Kind {
  /** In messages. */
  readonly what: string;
  /** How many arguments attaching needs. */
  readonly required: number;
  readonly heads?: readonly (readonly [text: string, width: number])[];
  /** A domain that there is not: lists go on, or end with xl's other words. */
  readonly listGoesOn: boolean;
  /** Exit codes of failures. */
  readonly failed: number;
  readonly parse?: (parts: readonly string[]) => JsonObject;
}

const kinds: Readonly<Record<string, Kind>> = {
  vtpm: {
    what: 'virtual TPM devices',
    required: 1,
    heads: [
      ['Idx', 3],
      ['BE', 2],
      ['Uuid', 36],
      ['handle', 6],
      ['state', 5],
      ['evt-ch', 6],
      ['ring-ref', 5],
      ['BE-path', 10],
    ],
    listGoesOn: true,
    failed: 1,
    parse: parseTpm,
  },
  vkb: {
    what: 'virtual keyboard devices',
    required: 2,
    heads: [
      ['Idx', 3],
      ['BE', 2],
      ['handle', 6],
      ['state', 5],
      ['evt-ch', 6],
      ['ref', -6],
      ['ID', 10],
      ['BE-type', 10],
      ['BE-path', 30],
    ],
    listGoesOn: false,
    failed: 253,
    parse: (parts) => parseKeyboard(parts.join(','), 0),
  },
  vdispl: {
    what: 'virtual display devices',
    required: 1,
    listGoesOn: true,
    failed: 253,
    parse: (parts) => parseVdispl(parts.join(','), 0),
  },
  vsnd: {
    what: 'virtual sound devices',
    required: 2,
    listGoesOn: true,
    failed: 253,
    parse: (parts) => parseVsndItems(parts, undefined),
  },
};

export async function run(invocation: Invocation): Promise<number> {
  const [, name = '', verb = ''] = /^(.*)-(attach|list|detach)$/.exec(invocation.name) ?? [];
  const kind = kinds[name];
  if (kind === undefined) throw new Error(`no command of devices: ${invocation.name}`);
  const required = verb === 'attach' ? kind.required : verb === 'list' ? 1 : 2;
  const { arguments: given } = await readArguments(invocation, { short: '' }, required);
  if (verb === 'list') return list(invocation, kind, given);
  if (verb === 'attach') return attach(invocation, name, kind, given);
  return detach(invocation, name, kind, given);
}

async function list(invocation: Invocation, { heads, listGoesOn }: Kind, given: readonly string[]): Promise<number> {
  if (heads !== undefined) {
    const cells = heads.map(([text, width]) => (width < 0 ? text.padStart(-width) : text.padEnd(width)));
    invocation.out(`${cells.join(' ')}\n`);
  }
  for (const domain of given) await (listGoesOn ? domainOrComplaint : findDomain)(invocation, domain);
  return 0;
}

async function attach(invocation: Invocation, name: string, kind: Kind, given: readonly string[]): Promise<number> {
  const { out, err, globals } = invocation;
  const [domain = '', ...parts] = given;
  if (name === 'vtpm') {
    if ((await domainOrComplaint(invocation, domain)) === undefined) return 1;
  } else {
    await findDomain(invocation, domain);
  }
  let device: JsonObject | undefined;
  try {
    device = kind.parse?.(parts);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    err(error.message);
    return kind.failed;
  }
  if (globals.dryRun) {
    out(`${name}: ${formatJson(device ?? {})}\n\n`);
    return 0;
  }
  err(`xl: ${kind.what} are not supported yet`);
  err(`libxl_device_${name}_add failed.`);
  return kind.failed;
}

async function detach(invocation: Invocation, name: string, kind: Kind, given: readonly string[]): Promise<number> {
  const [domain = '', device = ''] = given;
  const domid = await findDomain(invocation, domain);
  if (name === 'vtpm') {
    invocation.err(`Unknown device ${device}.`);
  } else {
    const path = `/libxl/${domid}/device/${name}/${atoi(device)}`;
    const text = `xenstore read failed: \`${path}': No such file or directory`;
    invocation.err(libxlLine('libxl__xs_read_mandatory', text));
    invocation.err(`Error: Device ${atoi(device)} not connected.`);
  }
  return kind.failed;
}

function parseTpm(parts: readonly string[]): JsonObject {
  let uuid = '00000000-0000-0000-0000-000000000000';
  let backend: string | undefined;
  for (const part of parts) {
    if (part.startsWith('uuid=')) {
      const text = part.slice('uuid='.length);
      const read = parseUuid(text);
      if (read === undefined) throw new ConfigError(`Invalid uuid specified (${text})`);
      uuid = read;
    } else if (part.startsWith('backend=')) {
      backend = part.slice('backend='.length);
    } else {
      throw new ConfigError(`unrecognized argument \`${part}'`);
    }
  }
  return { ...(backend === undefined ? {} : { backend_domname: backend }), uuid };
}
