import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { RecordedStore } from '../testing/recorded-store.ts';
import { parseConversations, payloadsOf, shortened } from '../testing/store-conversation.ts';

const recorded = readFileSync(new URL('recorded-replies.txt', import.meta.url), 'utf8');

describe('what xenstored of Xen 4.17 answers, and tells of', () => {
  for (const { title, steps } of parseConversations(recorded)) {
    it(title, () => {
      const store = new RecordedStore();
      for (const step of steps) {
        const where = `line ${step.line}: ${step.text}`;
        if (step.connection === '!') store.command(step.type, step.payload);
        else {
          const replies = payloadsOf(step).map((payload) => store.call(step.connection, step.type, payload, step.txId));
          assert.equal([...new Set(replies)].map(shortened).join(' / '), step.reply, where);
        }
        assert.deepEqual(store.events().map(shortened), step.events, where);
      }
      store.xenstored.close();
    });
  }
});
