/** The columns of `xl list` and of those that print like it. */
import type { DomainSummary } from '../daemon/protocol.ts';

export interface Columns {
  readonly verbose?: boolean;
  readonly context?: boolean;
  readonly claim?: boolean;
  readonly numa?: boolean;
  readonly cpupool?: boolean;
}

/** By shutdown reason. */
const reasonLetters = '-rscwS';

export function domainTable(domains: readonly DomainSummary[], columns: Columns): string {
  const { verbose = false, context = false, claim = false, numa = false, cpupool = false } = columns;
  const head = [
    'Name                                        ID   Mem VCPUs\tState\tTime(s)',
    verbose ? '   UUID                            Reason-Code\tSecurity Label' : '',
    context && !verbose ? '   Security Label' : '',
    claim ? '  Claimed' : '',
    cpupool ? '         Cpupool' : '',
    numa ? ' NODE Affinity' : '',
  ];
  const rows = domains.map((domain) => [
    domain.name.padEnd(40),
    ` ${pad(domain.domid, 5)} ${pad(Math.floor(domain.memKiB / 1024), 5)} ${pad(domain.vcpusOnline, 5)}`,
    `     ${stateLetters(domain)}  ${pad((domain.cpuTimeNs / 1e9).toFixed(1), 8)}`,
    verbose ? ` ${domain.uuid} ${pad(domain.shutdown ? domain.shutdownReason.toString(16) : '-', 8)}` : '',
    claim ? ` ${pad(0, 5)}` : '',
    verbose || context ? ` ${pad('-', 16)}` : '',
    cpupool ? pad(domain.cpuPool, 16) : '',
    numa ? ' all' : '',
  ]);
  return [head, ...rows].map((cells) => `${cells.join('')}\n`).join('');
}

function stateLetters({ running, blocked, paused, shutdown, shutdownReason, dying }: DomainSummary): string {
  return [
    running ? 'r' : '-',
    blocked ? 'b' : '-',
    paused ? 'p' : '-',
    shutdown ? 's' : '-',
    shutdown ? (reasonLetters[shutdownReason] ?? '?') : '-',
    dying ? 'd' : '-',
  ].join('');
}

function pad(value: string | number, width: number): string {
  return String(value).padStart(width);
}
