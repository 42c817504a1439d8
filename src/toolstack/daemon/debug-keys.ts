/**
 * `xl debug-keys`: what a key makes the hypervisor print into its log, or do (xen/common/keyhandler.c). Keys that nobody knows do nothing, as in Xen. They
 * are here and not in the hypervisor because what they tell of lives on this side of the control interface.
 */
import { formatUuid } from '../config/uuid.ts';
import type { RequestContext } from './requests.ts';

interface DebugKey {
  readonly about: string;
  run(context: RequestContext, print: (line: string) => void): void;
}

const keys: Readonly<Record<string, DebugKey>> = {
  R: { about: 'reboot machine', run: ({ stop }) => void stop(0, () => undefined) },
  h: { about: 'show this message', run: (_, print) => help(print) },
  q: { about: 'dump domain (and guest debug) info', run: domains },
  r: { about: 'dump run queues', run: runQueues },
};

/** Xen prints these whatever its log level is, as far as that is not below warnings. */
export function pressDebugKey(context: RequestContext, key: string): void {
  const known = Object.hasOwn(keys, key) ? keys[key] : undefined;
  if (known === undefined) return;
  const print = (line: string): void => context.hypervisor.log('warning', line);
  print(`'${key}' pressed -> ${known.about}`);
  known.run(context, print);
}

function help(print: (line: string) => void): void {
  for (const [key, { about }] of Object.entries(keys)) print(` key '${key}' (ascii '${ascii(key)}') => ${about}`);
}

function ascii(key: string): string {
  return key.charCodeAt(0).toString(16).padStart(2, '0');
}

function domains({ hypervisor }: RequestContext, print: (line: string) => void): void {
  for (const control of hypervisor.domains()) {
    const info = control.info();
    print(`General information for domain ${info.domid}:`);
    print(
      `    dying=${info.dying ? 1 : 0} pause_count=${info.paused ? 1 : 0} nr_pages=${info.totPages} max_pages=${info.maxPages}`,
    );
    print(`    handle=${formatUuid(info.handle)}`);
    for (let vcpu = 0; vcpu <= info.maxVcpuId; vcpu++) {
      const state = control.vcpuInfo(vcpu);
      if (state === undefined) continue;
      const has = state.running ? 'T' : 'F';
      print(
        `    VCPU${vcpu}: CPU${state.cpu} [has=${has}] ${state.online ? (state.blocked ? 'blocked' : 'runnable') : 'down'}`,
      );
    }
  }
}

function runQueues({ pools, scheduling }: RequestContext, print: (line: string) => void): void {
  for (const pool of pools.list()) {
    print(`Cpupool ${pool.poolid}: ${pool.name}, scheduler ${pool.scheduler}`);
    print(`CPUs: ${pool.cpus.join(',')}`);
    for (const domid of pool.domains) {
      const { weight, cap } = scheduling.parameters(domid);
      print(`\tDomain: ${domid} w ${weight} c ${cap}`);
    }
  }
}
