import type { FeatureName } from '../../abi/arch-x86/cpufeatureset.ts';
import { cpuFeatures } from '../../cpu/index.ts';
import type { PlatformKind } from '../../hypervisor/platform.ts';
import { createPvPlatform } from '../../hypervisor/pv/platform.ts';
import { xenVersion } from '../../hypervisor/xen-version.ts';

const { major, minor } = xenVersion('');
const features: readonly FeatureName[] = cpuFeatures;

/** The PV platform on src/cpu's processor: the same in every thread of a host. */
export function pvPlatform(hidden: readonly FeatureName[]): PlatformKind {
  return createPvPlatform({ features, hidden, xenVersion: (major << 16) | minor });
}
