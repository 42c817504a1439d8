import { defaultPeers, peers } from './peers/peers.ts';
import type { Row } from './row.ts';
import type { Workload } from './comparison/workloads.ts';

export function help(rows: readonly Row[], workloads: readonly Workload[]): string {
  const list = (entries: readonly (readonly [string, string])[]): string =>
    entries.map(([name, about]) => `  ${name.padEnd(24)}${about}`).join('\n');
  return `npm run bench [-- OPTION… NAME…]

Measures how fast Xenolith is: first its own figures (rows), then what it and its peers make of the same programs (workloads), side by
side. A NAME chooses: a row, a workload, or the beginning of several, as "cpu" or "workload".

  --peers LIST            what to compare with, by commas: ${peers.map(({ name }) => name).join(', ')}
                          (${defaultPeers.join(',')} unless given). Xenolith is always one of them.
                          xen has to be asked for: each of its boots takes a minute
  --rounds N              runs of each workload on each peer (3); the median counts, and the spread is shown
  --seconds S             how long a run should take (1.5); amounts of work are made to fit
  --busy                  reckon workloads by the time that a peer's vCPU was on a processor: for a machine that has other work
  --json                  an array of {name, unit, value, peers, ratios}; a value of null could not be measured
  --markdown              the workloads as a table for a document
  --help                  this

The result goes to standard output; what is going on, and why a peer is left out, to standard error. The exit code is 1 when
something of Xenolith itself could not be measured.

In "QEMU TCG  15.2  0.31 (0.29–0.33)  target 2, missed" the figures are the peer's median, and how many times better than it Xenolith is:
the median of the rounds, the worst and the best round. Above 1 Xenolith is ahead, whatever is measured.

  npm run bench                                  all of it, about twenty minutes
  npm run bench -- cpu boot                      a few rows
  npm run bench -- workload.sha256               one workload
  npm run bench -- --peers qemu workload.disk workload.net       disks and networks
  npm run bench -- --peers qemu --rounds 2 workload.net.trip-in  one figure of them, in half a minute
  npm run bench -- --peers xen,qemu workload     against real Xen too
  npm run bench -- --peers native --rounds 9 workload.copy

Peers
${list(peers.map(({ name, about }) => [name, about]))}

Workloads
${list(workloads.map(({ name, about }) => [`workload.${name}`, about]))}

Rows
${list(rows.map(({ name, about }) => [name, about]))}
`;
}
