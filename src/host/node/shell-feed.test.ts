import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PromptFilter } from './shell-feed.ts';

/** All that comes out for pieces of console text. */
function filtered(...pieces: string[]): { messages: string; output: string } {
  const filter = new PromptFilter();
  const all = { messages: '', output: '' };
  for (const piece of pieces) {
    const { messages, output } = filter.push(piece);
    all.messages += messages;
    all.output += output;
  }
  all.output += filter.flush();
  return all;
}

describe('the filter between a guest shell and standard output', () => {
  it('takes what comes before the first prompt for boot messages', () => {
    assert.deepEqual(filtered('[ 0.1] booting\r\nxenolith:/root# '), { messages: '[ 0.1] booting\n', output: '' });
  });

  it('removes prompts and separates what follows the end mark, wherever the pieces are cut', () => {
    const text =
      'boot\r\nxenolith:/root# one\r\nxenolith:/tmp# two\r\nxenolith:/# \u0001end of input\r\nPower down\r\n';
    for (let cut = 0; cut <= text.length; cut++)
      assert.deepEqual(
        filtered(text.slice(0, cut), text.slice(cut)),
        { messages: 'boot\nPower down\n', output: 'one\ntwo\n' },
        `cut at ${cut}`,
      );
  });

  it('passes text that only begins like a prompt', () => {
    assert.equal(filtered('xenolith:/# xenolith is up\nxenolith: 7\n').output, 'xenolith is up\nxenolith: 7\n');
  });
});
