/** What a guest has printed on its console, and when it arrived. All times are performance.now(). */
export class ConsoleText {
  readonly #decoder = new TextDecoder();
  #unread = '';
  /** When the pieces of #unread came: each reaches up to `end`. */
  #pieces: { readonly end: number; readonly at: number }[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  feed(bytes: Uint8Array): void {
    this.#unread += this.#decoder.decode(bytes, { stream: true });
    this.#pieces.push({ end: this.#unread.length, at: performance.now() });
    this.#wake();
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Waits for the text and takes it; returns what came before it. */
  async expect(text: string, patienceMs: number): Promise<Printed> {
    const end = performance.now() + patienceMs;
    for (;;) {
      const at = this.#unread.indexOf(text);
      if (at >= 0) return this.#take(at, at + text.length);
      if (this.#ended) throw this.#silent(text, 'the console ended');
      if (performance.now() > end) throw this.#silent(text, `it did not come in ${Math.round(patienceMs / 1000)} s`);
      await this.#more();
    }
  }

  #take(length: number, upTo: number): Printed {
    const printed = new Printed(this.#unread.slice(0, length), this.#pieces);
    this.#unread = this.#unread.slice(upTo);
    this.#pieces = this.#pieces
      .map(({ end, at }) => ({ end: end - upTo, at }))
      .filter(({ end }, index, all) => end > 0 || index === all.length - 1);
    return printed;
  }

  #silent(text: string, why: string): Error {
    return new Error(`waited for "${text}" of the guest: ${why}. Its last words:\n${this.#unread.slice(-1000)}`);
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A stretch of a console's text. */
export class Printed {
  readonly text: string;
  readonly #pieces: readonly { readonly end: number; readonly at: number }[];

  constructor(text: string, pieces: readonly { readonly end: number; readonly at: number }[]) {
    this.text = text;
    this.#pieces = pieces;
  }

  /** When the character at the offset arrived. */
  arrived(offset: number): number {
    const piece = this.#pieces.find(({ end }) => end > offset) ?? this.#pieces.at(-1);
    if (piece === undefined) throw new Error('nothing was printed');
    return piece.at;
  }
}
