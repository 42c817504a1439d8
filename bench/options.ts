/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { peerNames, type PeerName } from './peers/peer.ts';

export interface BenchOptions {
  readonly format: 'text' | 'json' | 'markdown';
  readonly help: boolean;
  /** Other peers than the default ones. */
  readonly peers: readonly PeerName[] | undefined;
  readonly rounds: number;
  readonly seconds: number;
  /** Reckon by processor time. */
  readonly busy: boolean;
  /** What is to be measured; everything when there are none. */
  readonly names: readonly string[];
}

/** Throws an Error that a person can read when the command line is wrong. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      markdown: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
      peers: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '1.5' },
      busy: { type: 'boolean' },
    },
  });
  const peers = values.peers?.split(',').map((name) => {
    const found = peerNames.find((one) => one === name);
    if (found === undefined) throw new Error(`no peer "${name}"; there are: ${peerNames.join(', ')}`);
    return found;
  });
  return {
    format: values.json === true ? 'json' : values.markdown === true ? 'markdown' : 'text',
    help: values.help === true,
    peers,
    rounds: Math.ceil(positive('--rounds', values.rounds)),
    seconds: positive('--seconds', values.seconds),
    busy: values.busy === true,
    names: positionals,
  };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || value === Infinity) throw new Error(`${option} wants a number above 0, not "${text}"`);
  return value;
}

/** `cpu` is all of `cpu.*`. */
export function matches(name: string, wanted: string): boolean {
  return name === wanted || name.startsWith(`${wanted}.`);
}
