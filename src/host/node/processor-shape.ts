import { S, cpuRegionSize } from '../../cpu/index.ts';
import { Region } from '../../cpu/state-layout.ts';
import type { ProcessorShape } from '../../hypervisor/processor.ts';

/** How src/cpu's processor lies in a vCPU's block. */
export const processorShape: ProcessorShape = {
  regionSize: cpuRegionSize,
  exitRequest: S.exitRequest,
  codeMask: Region.codeMaskAt,
  decoded: [Region.keptAt, Region.opsEnd],
  retired: S.retired,
  profile: Region.profileAt,
};
