import { buildInstructionSet, type InstructionSet } from './instruction-set.ts';
import { groups } from './isa/index.ts';
import { internal } from './isa/internal.ts';
import { Processor as ProcessorOf, type ProcessorOptions } from './processor.ts';
import { withFunctionNames } from './wasm/name-section.ts';

export { Exit, Privileged, Vector } from './exits.ts';
export { cpuFeatures, type CpuFeature } from './features.ts';
export { Flag } from './flags.ts';
export { Access } from './paging.ts';
export { Gpr, Segment } from './semantics.ts';
export { cpuRegionSize, Mode, S } from './state-layout.ts';
export type { CpuState } from './cpu-state.ts';
export { CheckFailure } from './translator/check.ts';
export { checkReport } from './translator/check-report.ts';
export type { CheckOptions, Engine, Vaddr } from './processor.ts';
export type { CompiledRegions, RegionCompiler } from './translator/compiler.ts';
export { RegionGenerator } from './translator/generate.ts';
export type { RegionJob } from './translator/job.ts';
export { packJob, type PackedJob, unpackJob } from './translator/packed-job.ts';

let set: InstructionSet | undefined;
let compiled: WebAssembly.Module | undefined;

/** The instruction set, built from its definitions on first use. */
export function instructionSet(): InstructionSet {
  set ??= buildInstructionSet(groups, internal);
  return set;
}

/** The interpreter, compiled once in a process; it can be posted to other threads. `named`: profiles show its functions' names. */
export function processorModule(options: { readonly named?: boolean } = {}): WebAssembly.Module {
  if (compiled === undefined) {
    const { bytes, functionNames } = instructionSet().generate();
    compiled = new WebAssembly.Module(options.named ? withFunctionNames(bytes, functionNames) : bytes);
  }
  return compiled;
}

/** A virtual processor with the full instruction set. */
export class Processor extends ProcessorOf {
  constructor(options: Omit<ProcessorOptions, 'set'>) {
    super({ ...options, set: instructionSet() });
  }
}
