/** The compiler's thread as a vCPU's processor sees it. */
import { receiveMessageOnPort } from 'node:worker_threads';
import { type CompiledRegions, packJob, type RegionCompiler, type RegionJob } from '../../cpu/index.ts';
import type { CompileAnswer, CompileRequest, CompilerLink } from './compiler-messages.ts';

export class PortCompiler implements RegionCompiler {
  readonly #link: CompilerLink;
  readonly #sent: Int32Array;
  #seen = 0;

  constructor(link: CompilerLink) {
    this.#link = link;
    this.#sent = new Int32Array(link.sent);
  }

  submit(id: number, job: RegionJob): void {
    const packed = packJob(job);
    this.#link.port.postMessage({ id, job: packed } satisfies CompileRequest, [packed.words.buffer]);
  }

  take(): readonly CompiledRegions[] {
    const sent = Atomics.load(this.#sent, 0);
    if (sent === this.#seen) return [];
    const answers: CompiledRegions[] = [];
    for (; this.#seen !== sent; this.#seen++) {
      const received = receiveMessageOnPort(this.#link.port);
      // Posted before the counter was raised, but it may still be on its way.
      if (received === undefined) break;
      answers.push(received.message as CompileAnswer);
    }
    return answers;
  }
}
