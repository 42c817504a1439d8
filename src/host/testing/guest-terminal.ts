/** Types commands into a guest's shell through `xl console` and reads what they print. The guest must not echo (PLAIN_CONSOLE). */
import type { ChildProcess } from 'node:child_process';
import { GUEST_PROMPT } from '../../toolstack/guest-files/guest-files.ts';
import { patience } from './machine.ts';

/** Ctrl-] */
const leave = '\x1d';

/** The scroll-back shows the marks of earlier consoles again, so each command has its own. */
let commands = 0;

export class GuestTerminal {
  readonly #child: ChildProcess;
  /** Everything that was printed. */
  text = '';
  #read = 0;
  #wake: () => void = () => undefined;
  readonly ended: Promise<number>;
  #open = true;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.text += text;
      this.#wake();
    });
    child.stdin?.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      child.on('close', (code) => {
        this.#open = false;
        this.#wake();
        resolve(code ?? -1);
      });
    });
  }

  /** The first shell prompt. Returns what the guest printed before it. */
  async ready(milliseconds = patience): Promise<string> {
    return (await this.expect(new RegExp(`${GUEST_PROMPT}\\S*[#$] `), milliseconds)).before;
  }

  /** What the shell command prints on its output and error; it must succeed. */
  async run(command: string, milliseconds = patience): Promise<string> {
    const { code, out } = await this.try(command, milliseconds);
    if (code !== 0) throw new Error(`in the guest, ${command} exited with ${code}: ${out}`);
    return out;
  }

  async try(command: string, milliseconds = patience): Promise<{ code: number; out: string }> {
    const id = `${process.pid}-${++commands}`;
    // The mark is put together in the guest, so that an echo of the line is not taken for it. The first line ends what the kernel
    // or a prompt left half-written; the full stops are there because the kernel may write before a line's end.
    this.type(`echo; echo begin-''of-${id}.; { ${command}\n} 2>&1; echo end-''of-${id} $?.\n`);
    await this.expect(new RegExp(`begin-of-${id}\\.(?:\\r?\\n)?`));
    const { before, match } = await this.expect(new RegExp(`end-of-${id} (\\d+)\\.`), milliseconds);
    return { code: Number(match[1]), out: before.replaceAll('\r', '').trim() };
  }

  /**
   * Runs it in the background; the number of its process. It is no job of the shell: busybox's (1.35) takes the end of a job, when that comes while it waits for a line from a
   * console that does not echo, for the end of its input. It would begin anew, and what is typed then is lost.
   */
  async start(command: string): Promise<number> {
    return Number(await this.run(`({ ${command}\n} < /dev/null & echo $!)`));
  }

  /** As run(), until it succeeds. */
  async retry(command: string, milliseconds = patience): Promise<string> {
    for (const give = Date.now() + milliseconds; ;) {
      const { code, out } = await this.try(command, milliseconds);
      if (code === 0) return out;
      if (Date.now() > give) throw new Error(`in the guest, ${command} exits with ${code}: ${out}`);
    }
  }

  /** Somebody in the guest waits for connections to this TCP port. */
  async listens(port: number): Promise<void> {
    const local = port.toString(16).toUpperCase().padStart(4, '0');
    await this.run(`until cat /proc/net/tcp* | grep -q ':${local} 0*:0000 0A '; do sleep 0.2; done`);
  }

  /** A file of the guest that something in it makes longer, or a number there that it counts up, goes on doing so. */
  async grows(measure: string): Promise<void> {
    const begin = await this.run(measure);
    await this.run(`until [ "$(${measure})" -gt ${begin} ] 2> /dev/null; do sleep 0.2; done`);
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits for the text; what stands before it, after what was read already. */
  async expect(pattern: RegExp, milliseconds = patience): Promise<{ before: string; match: RegExpExecArray }> {
    const give = Date.now() + milliseconds;
    for (;;) {
      const unread = this.text.slice(this.#read);
      const match = pattern.exec(unread);
      if (match !== null) {
        this.#read += match.index + match[0].length;
        return { before: unread.slice(0, match.index), match };
      }
      const why = !this.#open ? 'the console ended' : Date.now() > give ? 'it did not come' : undefined;
      if (why !== undefined)
        throw new Error(`waited for ${pattern}: ${why}. The guest's last words:\n${unread.slice(-3000)}`);
      await this.#more();
    }
  }

  /** Ctrl-]; the exit code of `xl console`. */
  leave(): Promise<number> {
    this.type(leave);
    return this.ended;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(), 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
