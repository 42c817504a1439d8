/** Who hears of a change: the store against the rule in its simplest form, for random trees, permissions, watches and depths. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { StoreModel, type Operation } from '../testing/store-model.ts';
import { mkdir, rm, setPerms, write } from './operations.ts';
import { specialNodes, type Path } from './path.ts';
import { dom0, permits, READ, type Caller, type Permissions } from './permissions.ts';
import { Store } from './store.ts';
import { bytesOf } from './wire.ts';

const callers: readonly Caller[] = [dom0, { domid: 1, privileged: false }, { domid: 2, privileged: false }];

const path = fc
  .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 3 })
  .map((names) => names.map((name) => `/${name}`).join(''));
const permission = fc.record({ access: fc.constantFrom('n', 'r', 'w', 'b' as const), domid: fc.nat(2) });
const perms = fc
  .tuple(permission, fc.array(permission, { maxLength: 1 }))
  .map(([owner, others]): Permissions => [owner, ...others]);
const change: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('write' as const), path, value: fc.constant('1') }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('mkdir' as const), path }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('rm' as const), path }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('setPerms' as const), path, perms }) },
);
const watched = fc.record({
  who: fc.nat(callers.length - 1),
  path: fc.oneof(path, fc.constant('')),
  depth: fc.constantFrom(undefined, undefined, 0, 1, 2),
});
type Watched = { readonly who: number; readonly path: string; readonly depth: number | undefined };

function names(text: string): Path {
  return text === '' ? [] : text.slice(1).split('/');
}

function run(store: Store, caller: Caller, operation: Operation): void {
  const at = names(operation.path);
  if (operation.op === 'write') write(store, caller, at, bytesOf(operation.value));
  else if (operation.op === 'mkdir') mkdir(store, caller, at);
  else if (operation.op === 'rm') rm(store, caller, at);
  else if (operation.op === 'setPerms') setPerms(store, caller, at, operation.perms);
  store.settle();
}

/** How many levels `inner` lies below `outer`; undefined when it does not. */
function levels(inner: string, outer: string): number | undefined {
  if (inner !== outer && !inner.startsWith(`${outer}/`)) return undefined;
  return names(inner).length - names(outer).length;
}

/** The paths that a watch reports of a change from `before` to `after`. */
function told(watch: Watched, changed: string, before: StoreModel, after: StoreModel): string[] {
  const caller = callers[watch.who] ?? dom0;
  const readable = (model: StoreModel, at: string): boolean => {
    const node = model.nodes.get(at);
    return node !== undefined && permits(node.perms, caller, READ);
  };
  const parent = (at: string): string => at.slice(0, at.lastIndexOf('/'));
  const gone = !after.nodes.has(changed);
  const below = levels(watch.path, changed);
  if (gone && below !== undefined && below > 0 && before.nodes.has(watch.path)) {
    return readable(before, watch.path) || readable(before, parent(watch.path)) ? [watch.path] : [];
  }
  const above = levels(changed, watch.path);
  if (above === undefined || above > (watch.depth ?? Infinity)) return [];
  const mayHear = readable(before, changed) || readable(after, changed) || readable(after, parent(changed));
  return mayHear || caller.privileged ? [changed || '/'] : [];
}

describe('watches', () => {
  it('tell each client of exactly the changes that it asked for and may know of', () => {
    let events = 0;
    fc.assert(
      fc.property(
        fc.array(watched, { minLength: 3, maxLength: 6 }),
        fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 1, 2), change), { minLength: 20, maxLength: 40, size: 'max' }),
        (watches, changes) => {
          const store = new Store();
          for (const name of specialNodes) store.apply({ kind: 'rm', path: [name] });
          const model = new StoreModel();
          const heard = watches.map((): string[] => []);
          watches.forEach((watch, i) => {
            const caller = callers[watch.who] ?? dom0;
            const watcher = { caller, event: (at: string) => void heard[i]?.push(at), settle: () => undefined };
            const { depth } = watch;
            store.addWatch({ watcher, token: '', text: watch.path, path: names(watch.path), baseLength: 0, depth });
          });
          store.settle();
          for (const [who, operation] of changes) {
            const caller = callers[who] ?? dom0;
            for (const list of heard) list.length = 0;
            const before = model.copy();
            const count = model.changes.length;
            model.run(caller, operation);
            run(store, caller, operation);
            const changed = model.changes.length > count ? operation.path : undefined;
            watches.forEach((watch, i) => {
              const expected = changed === undefined ? [] : told(watch, changed, before, model);
              assert.deepEqual(heard[i], expected, JSON.stringify([caller.domid, operation, watch]));
              events += expected.length;
            });
          }
        },
      ),
      { numRuns: 120 },
    );
    assert.ok(events > 1000, `${events} events say too little`);
  });
});
