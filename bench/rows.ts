/** What `npm run bench` measures, in the order it is told. What wants an undisturbed machine comes first. */
import type { Row } from './row.ts';
import { agentCopyIn, agentCopyOut, agentExec, agentOutput } from './rows/agent.ts';
import { bootInit, bootShell, xlCreate } from './rows/boot.ts';
import { create, destroy, guests, processor } from './rows/density.ts';
import { vbdIops1, vbdIops32, vbdRead, vbdWrite, vbdWriteIops32 } from './rows/disk.ts';
import { row as domainOverhead } from './rows/domain-overhead.ts';
import { forkAnswer, forkMemory, forkRunning, forkTemplate, forkTemplateLarge } from './rows/fork.ts';
import { row as hypervisorSize } from './rows/hypervisor-size.ts';
import { natDownload, natUpload } from './rows/nat.ts';
import { vifRoundTrip, vifThroughput } from './rows/network.ts';
import { migrated, restored, saved, stopped } from './rows/migration.ts';
import { row as restoreLazy } from './rows/restore-lazy.ts';
import { hypercall, pageFault, syscall } from './rows/round-trips.ts';
import { imageRequests, imageThroughput } from './rows/image.ts';
import { row as smpSpeedup } from './rows/smp-speedup.ts';
import { instructions, throughput } from './rows/sha256.ts';
import { row as xlList } from './rows/xl-list.ts';
import { storeLatency, storeRing, storeThroughput } from './rows/xenstore.ts';

export const rows: readonly Row[] = [
  bootInit,
  bootShell,
  xlCreate,
  domainOverhead,
  xlList,
  create,
  destroy,
  guests,
  processor,
  instructions,
  throughput,
  smpSpeedup,
  hypercall,
  syscall,
  pageFault,
  storeLatency,
  storeThroughput,
  storeRing,
  vbdRead,
  vbdWrite,
  vbdIops1,
  vbdIops32,
  vbdWriteIops32,
  natDownload,
  natUpload,
  vifThroughput,
  vifRoundTrip,
  imageThroughput,
  imageRequests,
  saved,
  restored,
  restoreLazy,
  migrated,
  stopped,
  forkRunning,
  forkTemplate,
  forkTemplateLarge,
  forkAnswer,
  forkMemory,
  agentExec,
  agentOutput,
  agentCopyOut,
  agentCopyIn,
  hypervisorSize,
];
