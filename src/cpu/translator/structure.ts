import type { Node } from './job.ts';

/** A control-flow graph as nested loops and blocks can express it (Ramsey, "Beyond Relooper", ICFP 2022). */
export interface Structure {
  /** Reachable nodes, every one after those that dominate it. */
  readonly order: readonly number[];
  readonly isLoop: (node: number) => boolean;
  /** More than one forward edge leads to it: it stands behind a block that is left to reach it. */
  readonly isMerge: (node: number) => boolean;
  /** Merge nodes that a node dominates immediately, the last in the order first. */
  readonly mergesOf: (node: number) => readonly number[];
  readonly isBack: (from: number, to: number) => boolean;
  /** Edges that lead into the middle of a loop: they leave the region instead. */
  readonly isCut: (from: number, to: number) => boolean;
  readonly successors: (node: number) => readonly number[];
}

const edge = (from: number, to: number): number => from * 65536 + to;

export function structureOf(nodes: readonly Node[]): Structure {
  const cut = new Set<number>();
  const successors = (n: number): number[] => {
    const node = nodes[n];
    return [node?.taken, node?.next, node?.returns].filter(
      (to): to is number => to !== undefined && !cut.has(edge(n, to)),
    );
  };
  for (;;) {
    const order = reversePostorder(successors);
    const position = new Map(order.map((n, i) => [n, i]));
    const at = (n: number): number => position.get(n) ?? -1;
    const incoming = new Map<number, number[]>(order.map((n) => [n, []]));
    for (const n of order) for (const to of successors(n)) incoming.get(to)?.push(n);
    const dominator = dominators(order, at, incoming);
    const dominates = (a: number, b: number): boolean => {
      let n = b;
      while (at(n) > at(a)) n = dominator.get(n) ?? a;
      return n === a;
    };
    let reducible = true;
    const loops = new Set<number>();
    const merges = new Set<number>();
    for (const n of order) {
      let forward = 0;
      for (const from of incoming.get(n) ?? []) {
        if (at(from) < at(n)) forward++;
        else if (dominates(n, from)) loops.add(n);
        else {
          cut.add(edge(from, n));
          reducible = false;
        }
      }
      if (forward > 1) merges.add(n);
    }
    if (!reducible) continue;
    const children = new Map<number, number[]>();
    for (const n of [...order].reverse()) {
      const parent = dominator.get(n);
      if (parent === undefined || parent === n || !merges.has(n)) continue;
      const list = children.get(parent) ?? [];
      list.push(n);
      children.set(parent, list);
    }
    return {
      order,
      isLoop: (n) => loops.has(n),
      isMerge: (n) => merges.has(n),
      mergesOf: (n) => children.get(n) ?? [],
      isBack: (from, to) => at(from) >= at(to),
      isCut: (from, to) => cut.has(edge(from, to)),
      successors,
    };
  }
}

function reversePostorder(successors: (n: number) => readonly number[]): number[] {
  const seen = new Set<number>([0]);
  const order: number[] = [];
  const stack: { readonly node: number; readonly rest: number[] }[] = [{ node: 0, rest: [...successors(0)] }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const to = top.rest.shift();
    if (to === undefined) {
      order.push(top.node);
      stack.pop();
    } else if (!seen.has(to)) {
      seen.add(to);
      stack.push({ node: to, rest: [...successors(to)] });
    }
  }
  return order.reverse();
}

/** Immediate dominators (Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm"). */
function dominators(
  order: readonly number[],
  at: (n: number) => number,
  incoming: ReadonlyMap<number, readonly number[]>,
): Map<number, number> {
  const dominator = new Map<number, number>([[0, 0]]);
  const meet = (a: number, b: number): number => {
    let [x, y] = [a, b];
    while (x !== y) {
      while (at(x) > at(y)) x = dominator.get(x) ?? 0;
      while (at(y) > at(x)) y = dominator.get(y) ?? 0;
    }
    return x;
  };
  for (let changed = true; changed;) {
    changed = false;
    for (const n of order) {
      if (n === 0) continue;
      let found: number | undefined;
      for (const from of incoming.get(n) ?? [])
        if (dominator.has(from)) found = found === undefined ? from : meet(from, found);
      if (found !== undefined && dominator.get(n) !== found) {
        dominator.set(n, found);
        changed = true;
      }
    }
  }
  return dominator;
}
