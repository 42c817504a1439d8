/** `vnuma = [ [ "pnode=0", "size=256", … ], … ]`: a virtual NUMA topology (xl.cfg(5), "vnuma"). */
import { ConfigError } from './config-error.ts';
import type { BuildInfo, Device } from './domain-config.ts';
import { parseUnsigned } from './nic-spec.ts';
import type { Settings } from './settings.ts';

/** The host has one node. */
const hostNodes = 1;

export function parseVnuma(settings: Settings, info: BuildInfo, host: { readonly cpus: number }): void {
  const nodes = settings.list('vnuma', { quiet: true });
  if (nodes === undefined || nodes.length === 0) return;
  let vcpuCount = 0;
  let memkb = 0;
  const parsed = nodes.map((node): Device => {
    if (typeof node === 'string') throw new ConfigError('xl: cannot get vnode config option list');
    let size = 0;
    let pnode = 0;
    const distances = nodes.map(() => 0);
    const vcpus: number[] = [];
    for (const option of node) {
      if (typeof option !== 'string') continue;
      const [key, value] = option.split('=').map((part) => part.trim());
      if (!key || !value) throw new ConfigError(`xl: failed to split "${option}" into pair`);
      const parts = value.split(',').filter((part) => part !== '');
      if (key === 'pnode') {
        pnode = parseUnsigned(value);
        if (pnode >= hostNodes) throw new ConfigError(`xl: invalid pnode number: ${pnode}`);
        info.numa_placement = 'False';
      } else if (key === 'size') {
        size = parseUnsigned(value) * 1024;
        memkb += size;
      } else if (key === 'vcpus') {
        for (const part of parts) vcpus.push(...range(part));
      } else if (key === 'vdistances') {
        for (const [index, part] of parts.slice(0, distances.length).entries()) distances[index] = parseUnsigned(part);
      }
    }
    vcpuCount += vcpus.length;
    return { memkb: size, distances, ...(pnode === 0 ? {} : { pnode }), vcpus };
  });
  if ((info.max_vcpus ?? 0) !== 0) {
    if (info.max_vcpus !== vcpuCount) throw new ConfigError('xl: vnuma vcpus and maxvcpus= mismatch');
  } else {
    if (host.cpus < vcpuCount) {
      throw new ConfigError('xl: vnuma specifies more vcpus than pcpus, use maxvcpus= to override this check.');
    }
    info.max_vcpus = vcpuCount;
  }
  if (info.max_memkb !== undefined && info.max_memkb !== memkb)
    throw new ConfigError('xl: maxmem and vnuma memory size mismatch');
  info.max_memkb = memkb;
  info.vnuma_nodes = parsed;
}

function range(text: string): number[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  if (match === null) return [];
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return Array.from({ length: Math.max(0, Math.min(last, 0xffff) - first + 1) }, (_, index) => first + index);
}
