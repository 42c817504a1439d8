import { GUEST_PROMPT } from '../../toolstack/guest-files/guest-files.ts';

/** A prompt that never ends is ordinary output after so many characters. */
const LONGEST_PROMPT = 4096;

/** Printed by the guest after the last command; a control character begins it, which ordinary text does not have. */
const END = '\u0001end of input\n';
/** The shell command that prints it. */
export const PRINT_END = "printf '\\001end of input\\n'";

/**
 * What a guest's shell prints, without its prompts. The first prompt tells that the shell is up, the end mark that all commands have run. Text that may be the
 * beginning of either is held back until that is known.
 */
export class PromptFilter {
  #rest = '';
  #ended = false;
  prompted = false;

  /** Text of the commands comes as `output`; what precedes the first prompt and what follows the end mark as `messages`. */
  push(text: string): { messages: string; output: string } {
    const result = { messages: '', output: '' };
    const emit = (upTo: number): void => {
      result[this.prompted && !this.#ended ? 'output' : 'messages'] += this.#rest.slice(0, upTo);
    };
    this.#rest = (this.#rest + text).replaceAll('\r\n', '\n');
    for (let found = this.#next(); found; found = this.#next()) {
      emit(found.start);
      this.#rest = this.#rest.slice(found.end);
      if (found.isEnd) this.#ended = true;
      else this.prompted = true;
    }
    const kept = heldBack(this.#rest);
    emit(kept);
    this.#rest = this.#rest.slice(kept);
    return result;
  }

  /** What is still held back at the end. */
  flush(): string {
    const rest = this.#rest;
    this.#rest = '';
    return rest;
  }

  /** The next complete prompt or end mark. */
  #next(): { start: number; end: number; isEnd: boolean } | undefined {
    const text = this.#rest;
    const mark = text.indexOf(END);
    const start = text.indexOf(GUEST_PROMPT);
    if (start >= 0 && (mark < 0 || start < mark)) {
      // `xenolith:DIRECTORY# `
      const prompt = /^[^\n]*?[#$] /.exec(text.slice(start + GUEST_PROMPT.length, start + LONGEST_PROMPT));
      if (prompt) return { start, end: start + GUEST_PROMPT.length + prompt[0].length, isEnd: false };
    }
    return mark < 0 ? undefined : { start: mark, end: mark + END.length, isEnd: true };
  }
}

/** Where the tail that may become a prompt or the end mark begins. */
function heldBack(whole: string): number {
  // A carriage return may belong to a line's end.
  const text = whole.endsWith('\r') ? whole.slice(0, -1) : whole;
  const start = text.lastIndexOf(GUEST_PROMPT);
  if (start >= 0 && !text.includes('\n', start) && text.length - start < LONGEST_PROMPT) return start;
  for (const mark of [GUEST_PROMPT, END]) {
    for (let length = Math.min(mark.length - 1, text.length); length > 0; length--)
      if (mark.startsWith(text.slice(-length))) return text.length - length;
  }
  return text.length;
}
