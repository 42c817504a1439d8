/**
 * Conversations with a xenstore daemon, as text: who asks what, what is answered, and who is told of it then. They are recorded from a
 * real daemon and repeated on ours.
 *
 *   == title                           a new store
 *   A WRITE /a/b|1 => OK|              A to C: programs on the socket; 1 to 9: domains; `|` stands for NUL
 *     1 /a/b|token                     an event that has come to domain 1 since
 *   A.7 READ /a/b| => 1                in transaction 7
 *   1 WRITE n{1..3}|{x*20} => OK|      three requests; twenty times x
 *   ! kill 1                           the domain is gone; `! shutdown 1`: it has shut down
 */
export interface Step {
  readonly line: number;
  readonly text: string;
  readonly connection: string;
  readonly type: string;
  readonly payload: string;
  readonly txId: number;
  readonly reply: string;
  readonly events: string[];
}
export interface Conversation {
  readonly title: string;
  readonly steps: Step[];
}

const request = /^([A-C1-9])(?:\.(\d+))? ([A-Z_]+|#\d+) ?(.*)$/;
const command = /^! (kill|shutdown) (\d)$/;
/** Types of steps that are no requests. */
export const commands = ['kill', 'shutdown'] as const;

export function parseConversations(text: string): Conversation[] {
  const conversations: Conversation[] = [];
  let step: Step | undefined;
  text.split('\n').forEach((line, i) => {
    const wrong = (): Error => new Error(`line ${i + 1}: ${line}`);
    const current = conversations.at(-1);
    if (line === '' || line.startsWith('#')) return;
    if (line.startsWith('== ')) {
      conversations.push({ title: line.slice(3), steps: [] });
      return;
    }
    if (!current) throw wrong();
    if (line.startsWith('  ')) {
      if (!step) throw wrong();
      step.events.push(line.slice(2));
      return;
    }
    const [asked = '', reply = ''] = line.split(' => ');
    const common = { line: i + 1, text: asked, reply, events: [] };
    const told = command.exec(asked);
    const parts = request.exec(asked);
    if (told) step = { ...common, connection: '!', type: told[1] ?? '', payload: told[2] ?? '', txId: 0 };
    else if (parts) {
      const [, connection = '', txId = '0', type = '', payload = ''] = parts;
      step = { ...common, connection, type, payload, txId: Number(txId) };
    } else throw wrong();
    current.steps.push(step);
  });
  return conversations;
}

/** The payloads of a step: one, unless it counts. */
export function payloadsOf(step: Step): string[] {
  const filled = step.payload.replace(/\{(.)\*(\d+)\}/g, (_, char: string, count) => char.repeat(Number(count)));
  const range = /\{(\d+)\.\.(\d+)\}/.exec(filled);
  if (!range) return [filled];
  const [from, to] = [Number(range[1]), Number(range[2])];
  return Array.from({ length: to - from + 1 }, (_, i) => filled.replaceAll(range[0], String(from + i)));
}

/** Bytes as conversations write them. */
export function visible(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => {
    if (byte === 0) return '|';
    if (byte === 10) return '\\n';
    if (byte === 9) return '\\t';
    return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

export function bytesOfVisible(text: string): Uint8Array {
  const plain = text.replace(/\\n|\\t|\\x([0-9a-f]{2})/g, (what, hex?: string) =>
    hex === undefined ? (what === '\\n' ? '\n' : '\t') : String.fromCharCode(parseInt(hex, 16)),
  );
  return Uint8Array.from(plain, (char) => (char === '|' ? 0 : char.charCodeAt(0)));
}

/** Long answers are told by their length. */
export function shortened(text: string): string {
  return text.length > 400 ? `${text.slice(0, 40)}... (${text.length})` : text;
}
