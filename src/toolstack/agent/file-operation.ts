/** One file operation in a guest: something is asked, bytes may go or come, and a result ends it. */
import { AgentBusyError, GuestFileError } from './errors.ts';
import { Inflow } from './inflow.ts';
import { linuxError } from './linux-numbers.ts';
import { Outflow } from './outflow.ts';
import type { Operation, OperationGlue } from './program.ts';
import { credit, number32, readResult, Stream, Tell, type Message } from './protocol.ts';

export class FileOperation implements Operation {
  /** The reply that the result has. Rejects with GuestFileError, the abort's reason, or why the agent is gone. */
  readonly result: Promise<Uint8Array>;
  /** What is read. */
  readonly content: ReadableStream<Uint8Array>;
  /** What is written. */
  readonly sink: Outflow;
  /** It can be written. */
  readonly opened: Promise<void>;
  readonly #glue: OperationGlue;
  readonly #what: { readonly verb: string; readonly path: string };
  readonly #inflow: Inflow;
  readonly #result = Promise.withResolvers<Uint8Array>();
  readonly #opened = Promise.withResolvers<void>();

  constructor(glue: OperationGlue, verb: string, path: string) {
    const { link, id } = glue;
    this.#glue = glue;
    this.#what = { verb, path };
    this.#inflow = new Inflow(
      (bytes) => link.send(credit(id, Stream.stdout, bytes)),
      () => glue.close(),
    );
    this.content = this.#inflow.stream;
    this.sink = new Outflow(link, id);
    this.result = this.#result.promise;
    this.opened = this.#opened.promise;
    this.result.catch(() => undefined);
    this.opened.catch(() => undefined);
  }

  take(answer: Message): void {
    if (answer.type === Tell.started) this.#opened.resolve();
    else if (answer.type === Tell.room) this.sink.grant(number32(answer));
    else if (answer.type === Tell.output) {
      if (!this.#inflow.push(answer.content.subarray(1))) this.#glue.violation('sends more of a file than it may');
    } else if (answer.type === Tell.result) this.#finish(answer);
  }

  fail(why: Error): void {
    this.sink.stop();
    this.#opened.reject(why);
    this.#result.reject(why);
    this.#inflow.fail(why);
  }

  /** What has been written of a file is thrown away. */
  abandon(why: Error): void {
    this.#glue.close();
    this.fail(why);
  }

  #finish(answer: Message): void {
    const { errno, reply } = readResult(answer);
    if (errno !== 0) {
      const busy = linuxError(errno).code === 'EUSERS';
      this.fail(busy ? new AgentBusyError() : new GuestFileError(this.#what.verb, this.#what.path, errno));
      return;
    }
    this.sink.stop();
    this.#inflow.end();
    this.#opened.resolve();
    this.#result.resolve(reply);
  }
}
