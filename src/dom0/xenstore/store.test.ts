import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { StoreModel, type Operation } from '../testing/store-model.ts';
import { inconsistencies } from './control.ts';
import { directory, getPerms, isXsError, mkdir, read, rm, setPerms, write } from './operations.ts';
import { specialNodes, type Path } from './path.ts';
import { dom0, type Caller, type Permissions } from './permissions.ts';
import { Store } from './store.ts';
import type { Transaction } from './transaction.ts';
import type { StoreNode, Tree } from './tree.ts';
import type { View } from './view.ts';
import { bytesOf, textOf } from './wire.ts';

const callers: readonly Caller[] = [
  dom0,
  { domid: 1, privileged: false },
  { domid: 2, privileged: false },
  { domid: 3, privileged: false, target: 1 },
];

function run(view: View, caller: Caller, operation: Operation): string {
  const path: Path = operation.path === '' ? [] : operation.path.slice(1).split('/');
  const result = ((): string | undefined => {
    switch (operation.op) {
      case 'read': {
        const value = read(view, caller, path);
        return isXsError(value) ? `[${value}]` : textOf(value);
      }
      case 'ls': {
        const found = directory(view, caller, path);
        return isXsError(found) ? `[${found}]` : found.names.join();
      }
      case 'getPerms': {
        const perms = getPerms(view, caller, path);
        return isXsError(perms) ? `[${perms}]` : JSON.stringify(perms);
      }
      case 'mkdir':
        return bracket(mkdir(view, caller, path));
      case 'rm':
        return bracket(rm(view, caller, path));
      case 'write':
        return bracket(write(view, caller, path, bytesOf(operation.value)));
      case 'setPerms':
        return bracket(setPerms(view, caller, path, operation.perms));
    }
  })();
  return result ?? 'OK';
}

function bracket(error: string | undefined): string | undefined {
  return error && `[${error}]`;
}

function dump(tree: Tree): string[] {
  const lines: string[] = [];
  const visit = (node: StoreNode, path: string): void => {
    lines.push(`${path}=${textOf(node.value)} ${JSON.stringify(node.perms)}`);
    for (const [name, child] of node.children) visit(child, `${path}/${name}`);
  };
  visit(tree.root, '');
  return lines.sort();
}

/** A store without the nodes that a new one has, so that it begins as the model does. */
function emptyStore(): Store {
  const store = new Store();
  for (const name of specialNodes) store.apply({ kind: 'rm', path: [name] });
  store.settle();
  return store;
}

const path = fc
  .array(fc.constantFrom('a', 'b', 'c'), { minLength: 0, maxLength: 3 })
  .map((names) => names.map((name) => `/${name}`).join(''));
const permission = fc.record({ access: fc.constantFrom('n', 'r', 'w', 'b' as const), domid: fc.nat(2) });
const perms = fc
  .tuple(permission, fc.array(permission, { maxLength: 2 }))
  .map(([owner, others]): Permissions => [owner, ...others]);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ op: fc.constantFrom('read', 'ls', 'mkdir', 'rm', 'getPerms' as const), path }),
  fc.record({ op: fc.constant('write' as const), path, value: fc.constantFrom('', '1', '2') }),
  fc.record({ op: fc.constant('setPerms' as const), path, perms }),
);
const caller = fc
  .oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(callers.length - 1))
  .map((i) => callers[i] ?? dom0);

describe('the store', () => {
  it('does what the model does, request by request, and tells of the same changes in the same order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(caller, operation), { maxLength: 60, size: 'max' }), (requests) => {
        const store = emptyStore();
        const model = new StoreModel();
        const heard: string[] = [];
        store.addWatch({
          watcher: { caller: dom0, event: (changed) => heard.push(changed), settle: () => undefined },
          token: '',
          text: '/',
          path: [],
          baseLength: 0,
        });
        store.settle();
        heard.length = 0;
        for (const [who, what] of requests) {
          assert.equal(run(store, who, what), model.run(who, what), JSON.stringify([who, what]));
          store.settle();
        }
        assert.deepEqual(dump(store.tree), model.dump());
        assert.deepEqual(
          heard,
          model.changes.map((changed) => changed || '/'),
        );
        assert.deepEqual(inconsistencies(store), []);
      }),
      { numRuns: 300 },
    );
  });

  it('commits a transaction only if it could have run at that very moment with the same replies', () => {
    type Step = { kind: 'plain' | 'tx' | 'begin' | 'commit' | 'abort'; slot: number; who: Caller; what: Operation };
    const step: fc.Arbitrary<Step> = fc.record({
      kind: fc.constantFrom('plain', 'plain', 'tx', 'tx', 'tx', 'begin', 'begin', 'commit', 'commit', 'abort' as const),
      slot: fc.nat(1),
      who: caller,
      what: operation,
    });
    let committed = 0;
    let refused = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
        const store = emptyStore();
        const model = new StoreModel();
        /** Counts changes of the store, to know whether a refusal had a reason. */
        let version = 0;
        interface Open {
          transaction: Transaction;
          model: StoreModel;
          owner: Caller;
          began: number;
          done: { what: Operation; reply: string }[];
        }
        const open = new Map<number, Open>();
        for (const { kind, slot, who, what } of steps) {
          const tx = open.get(slot);
          if (kind === 'begin' && !tx) {
            const model_ = model.copy();
            open.set(slot, { transaction: store.begin(who), model: model_, owner: who, began: version, done: [] });
          } else if (kind === 'tx' && tx) {
            const reply = run(tx.transaction, tx.owner, what);
            assert.equal(
              reply,
              tx.model.run(tx.owner, what),
              'inside, a transaction sees the store as it was and its own changes',
            );
            tx.done.push({ what, reply });
          } else if (kind === 'abort' && tx) {
            open.delete(slot);
          } else if (kind === 'commit' && tx) {
            open.delete(slot);
            const error = store.commit(tx.transaction);
            if (error) {
              refused++;
              assert.equal(error, 'EAGAIN');
              assert.notEqual(version, tx.began, 'refused although nothing had changed');
            } else {
              committed++;
              for (const { what: again, reply } of tx.done) assert.equal(model.run(tx.owner, again), reply);
              version += tx.model.changes.length;
            }
          } else if (kind === 'plain') {
            const before = model.changes.length;
            assert.equal(run(store, who, what), model.run(who, what));
            version += model.changes.length - before;
          }
          assert.deepEqual(dump(store.tree), model.dump());
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(committed > 100 && refused > 10, `${committed} commits and ${refused} refusals say too little`);
  });
});
