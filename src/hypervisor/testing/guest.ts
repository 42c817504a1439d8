/** A host with domains whose kernels are generators: what most of this room's tests begin with. */
import type { Struct } from '../../abi/struct.ts';
import type { Domain } from '../domain.ts';
import type { DomainControl } from '../control.ts';
import { SteppableHost } from './steppable-host.ts';
import type { SteppableOptions } from './steppable-host.ts';
import type { Vcpu } from '../vcpu.ts';
import { plainPlatform } from './plain-platform.ts';
import type { PlainPlatform } from './plain-platform.ts';
import type { Program, Request } from './script-processor.ts';
import { ScriptProcessor, scriptShape, vaOf } from './script-processor.ts';

export const call = {
  memory_op: 12,
  multicall: 13,
  set_timer_op: 15,
  xen_version: 17,
  console_io: 18,
  grant_table_op: 20,
  vcpu_op: 24,
  sched_op: 29,
  event_channel_op: 32,
  physdev_op: 33,
} as const;

/** What a guest program has at hand: its memory, and a page for hypercall arguments. */
export class GuestKernel {
  readonly domain: Domain;
  readonly vcpu: number;
  /** Frame 1 + vCPU holds arguments; RAM from frame 16 on is the program's own. */
  readonly argumentFrame: number;

  constructor(domain: Domain, vcpu: number) {
    this.domain = domain;
    this.vcpu = vcpu;
    this.argumentFrame = 1 + vcpu;
  }

  /** A hypercall with numbers as arguments. */
  *hypercall(nr: number, ...args: number[]): Generator<Request, number, number> {
    return yield { nr, args };
  }

  /** A command with a structure as argument; `out` reads the structure back. */
  *op<F>(
    nr: number,
    cmd: number,
    type: Struct<F>,
    value: Parameters<Struct<F>['write']>[2],
    more: readonly number[] = [],
  ): Generator<Request, { result: number; out: ReturnType<Struct<F>['read']> }, number> {
    const at = this.domain.frameAt(this.argumentFrame);
    this.domain.u8.fill(0, at, at + type.size);
    type.write(this.domain.view, at, value);
    const result = yield { nr, args: [cmd, vaOf(this.argumentFrame), ...more] };
    return { result, out: type.read(this.domain.view, at) };
  }

  *spin(times: number): Generator<Request, void, number> {
    for (let i = 0; i < times; i++) yield 'spin';
  }
}

export interface TestHost {
  readonly host: SteppableHost;
  readonly kind: PlainPlatform;
  /** A running domain of one vCPU; `program` is its kernel. */
  boot(
    program: (kernel: GuestKernel) => Program,
    options?: {
      readonly pages?: number;
      readonly maxPages?: number;
      readonly memmapPages?: number;
      readonly maxEvtchnPort?: number;
      readonly maxGrantFrames?: number;
      readonly paused?: boolean;
    },
  ): DomainControl;
}

export function testHost(
  options: { readonly onUpcall?: (vcpu: Vcpu) => void } & Partial<SteppableOptions> = {},
): TestHost {
  const kind = plainPlatform(options.onUpcall);
  const programs = new Map<number, (kernel: GuestKernel) => Program>();
  const host = new SteppableHost({
    kind,
    processor: scriptShape,
    createProcessor(domain, vcpu) {
      const program = programs.get(domain.domid);
      if (program === undefined) throw new Error(`no program for domain ${domain.domid}`);
      return new ScriptProcessor(domain, vcpu, program(new GuestKernel(domain, vcpu)));
    },
    ...options,
  });
  return {
    host,
    kind,
    boot(program, o = {}) {
      const pages = o.pages ?? 256;
      const control = host.hypervisor.createDomain({
        handle: new Uint8Array(16).fill(0x11),
        maxVcpus: 1,
        maxMemKiB: (o.maxPages ?? pages) * 4,
        ...(o.memmapPages === undefined ? {} : { memmapLimitKiB: o.memmapPages * 4 }),
        ...(o.maxEvtchnPort === undefined ? {} : { maxEvtchnPort: o.maxEvtchnPort }),
        ...(o.maxGrantFrames === undefined ? {} : { maxGrantFrames: o.maxGrantFrames }),
      });
      programs.set(control.domid, program);
      control.populate(pages);
      control.setVcpuContext(0, { rip: 0, rsp: 0, rsi: 0, cr3Mfn: 0 });
      if (o.paused !== true) control.unpause();
      return control;
    },
  };
}

/** Boots a domain with the program and runs it to its end. */
export function runInGuest(
  program: (kernel: GuestKernel) => Program,
  options: Parameters<TestHost['boot']>[1] = {},
): { readonly test: TestHost; readonly control: DomainControl } {
  const test = testHost();
  let done = false;
  const control = test.boot(function* (kernel) {
    yield* program(kernel);
    done = true;
  }, options);
  test.host.run(() => done);
  if (!done) throw new Error('the program did not run to its end');
  return { test, control };
}
