/** What `xen-init-dom0` writes when a host starts: domain 0's own directory and the first CPU pool. */
import type { Xenstore } from './client.ts';

export function initDom0(xs: Xenstore, dom0: { readonly memoryKiB: number }): void {
  xs.transaction((t) => {
    const values = {
      domid: 0,
      name: 'Domain-0',
      'memory/target': dom0.memoryKiB,
      'memory/static-max': dom0.memoryKiB,
      'control/feature-poweroff': 1,
      'control/feature-reboot': 1,
      'control/feature-suspend': 1,
    };
    for (const [path, value] of Object.entries(values)) t.write(`/local/domain/0/${path}`, value);
    t.write('/local/pool/0/name', 'Pool-0');
  });
}
