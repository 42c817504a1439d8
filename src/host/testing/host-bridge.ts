/** A bridge of the host for a test, with an address of its own: guests of several daemons meet there. */
import { execFileSync } from 'node:child_process';

/** Of a private network that hosts hardly have (RFC 2544, for measurements). */
const NETWORK = '198.18';

export interface HostBridge {
  readonly name: string;
  /** The host's own, in a network of 24 bits; guests may have others of it. */
  readonly address: string;
  remove(): void;
}

/** A sentence where the host does not permit it. */
export function makeBridge(): HostBridge | string {
  if (process.platform !== 'linux') return 'bridges of the host are there on Linux only';
  const name = `xlt${process.pid}`;
  const address = `${NETWORK}.${process.pid % 256}.1`;
  const ip = (...args: readonly string[]): unknown => execFileSync('ip', args, { stdio: 'pipe' });
  const remove = (): void => void ip('link', 'del', name);
  try {
    ip('link', 'add', name, 'type', 'bridge');
  } catch (error) {
    return `a bridge of the host cannot be made here: ${String(error instanceof Error ? error.message : error).trim()}`;
  }
  try {
    ip('addr', 'add', `${address}/24`, 'dev', name);
    ip('link', 'set', name, 'up');
  } catch (error) {
    remove();
    throw error;
  }
  return { name, address, remove };
}
