/** `cpuid=`: features that are hidden from guests (parse_xen_cpuid of xen/arch/x86/cpuid.c; names: xen/tools/gen-cpuid.py). */
import { features, type FeatureName } from '../../abi/arch-x86/cpufeatureset.ts';
import { Errno } from '../../abi/errno.ts';
import { parseBool } from './parse.ts';

/** Where Xen does not call a feature as Linux does, but for its dashes. */
const xenNames: Readonly<Partial<Record<FeatureName, string>>> = {
  aes: 'aesni',
  lzcnt: 'abm',
  prefetchw: '3dnowprefetch',
};

const known: ReadonlyMap<string, FeatureName> = new Map(
  (Object.keys(features) as FeatureName[]).map((name) => [xenNames[name] ?? name.replaceAll('_', '-'), name]),
);

/** Those that Xen knows and that this processor has not. */
const absent: ReadonlySet<string> = new Set(
  (
    'htt pbe dscpl smx eist tm2 xtpr osxsave mmxext ffxsr 3dnowext 3dnow cmp-legacy extapic cr8-legacy sse4a misalignsse osvw ibs xop skinit wdt ' +
    'lwp fma4 nodeid-msr tbm dbx monitorx xsaveopt xsavec xgetbv1 xsaves hle rtm pqm no-fpu-sel mpx pqe avx512f avx512dq avx512-ifma avx512pf avx512er ' +
    'avx512cd avx512bw avx512vl proc-trace prefetchwt1 avx512-vbmi avx512-vbmi2 cet-ss gfni vaes vpclmulqdq avx512-vnni avx512-bitalg ' +
    'avx512-vpopcntdq movdiri movdir64b enqcmd avx512-4vnniw avx512-4fmaps srbds-ctrl md-clear rtm-always-abort tsx-force-abort hybrid ' +
    'tsxldtrk cet-ibt avx512-fp16 ibrsb stibp l1d-flush arch-caps core-caps ssbd avx-vnni avx512-bf16 fzrm fsrs fsrcs efro rstr-fp-err-ptrs wbnoinvd ibpb ibrs ' +
    'amd-stibp ibrs-always stibp-always ibrs-fast ibrs-same-mode no-lmsl amd-ppin amd-ssbd virt-ssbd ssb-no psfd btc-no ibpb-ret lfence+'
  ).split(' '),
);

/** Adds to `hidden`, in the order of the list; what is wrong in it does not keep the rest from counting. 0, or the error. */
export function hideFeatures(value: string, hidden: Set<FeatureName>): number {
  let result = 0;
  for (const item of value.split(',')) {
    const [word = '', text] = item.split('=');
    const inverted = word.startsWith('no-');
    const name = inverted ? word.slice(3) : word;
    const said = text === undefined ? true : parseBool(text);
    const feature = known.get(name);
    if (said === undefined || (inverted && text !== undefined) || (feature === undefined && !absent.has(name))) {
      result = Errno.EINVAL;
    } else if (feature !== undefined && (inverted || !said)) {
      // Only the negative form does something: what there is is used anyway.
      hidden.add(feature);
    }
  }
  return result;
}
