/**
 * Runs whose writes nobody sees: while `S.apart` is set, addresses of pages that are written lead to copies of them, so that the same code can run again
 * from the same memory. The TLB set is one of its own then. Pages that hold code have no copies, as a store there would change what is decoded; they and those
 * for which no place is left are reported as not writable.
 */
import type { Code, Fn } from './wasm/code.ts';
import type { ModuleBuilder } from './wasm/module.ts';
import { I32, type I64, ValType } from './wasm/value.ts';
import { Apart, Region, S } from './state-layout.ts';

const { i32 } = ValType;
/** `Access.write`; paging.ts, which tells the others, uses this file. */
const WRITE = 1;

/** Which 64-byte pieces of a page hold decoded code. Copies hold none. */
export function codeMaskOf(c: Code, vcpu: I32, host: I32): I64 {
  const frame = c.let(host.sub(vcpu.load32(S.framesAt)).shrU(12));
  const isFrame = frame.ltU(vcpu.load32(S.frameCount));
  return isFrame.select(vcpu.load32(S.codeMaskAt).add(frame.shl(3)), vcpu.add(S.zero)).load64();
}

/** (vcpu, host page, access) → the page to use in its place, or 0 when it may not be written */
export function defineApart(m: ModuleBuilder): Fn<typeof i32> {
  return m.function('apart', [i32, i32, i32], i32, (c) => {
    const vcpu = c.param(i32, 0);
    const host = c.param(i32, 1);
    const access = c.param(i32, 2);
    const run = c.let(vcpu.load32(S.apart));
    const count = c.let(run.load32(Apart.count));
    const n = c.variable(i32, I32.of(0));
    const copy = (): I32 => run.add(n.get.shl(12)).add(Apart.copies);
    c.block((_leave, leaveIf) => {
      c.loop((again) => {
        leaveIf(n.get.geU(count));
        c.if(run.add(n.get.shl(2)).load32(Apart.page).eq(host), () => c.return(copy()));
        n.set(n.get.add(1));
        again();
      });
    });
    c.if(access.ne(WRITE), () => c.return(host));
    c.if(count.geU(Apart.pages).or(codeMaskOf(c, vcpu, host).ne(0)), () => c.return(I32.of(0)));
    c.store32(run.add(count.shl(2)), host, Apart.page);
    c.store32(run, count.add(1), Apart.count);
    c.memoryCopy(copy(), host, I32.of(4096));
    // Other addresses lead to the page too.
    c.memoryFill(vcpu.load32(S.tlb), I32.of(0xff), I32.of(Region.tlbSet));
    c.return(copy());
    c.unreachable();
  });
}
