/**
 * How fast guests may write while others have transactions open, so that none can make another's transactions fail for ever. After
 * "write rate limit" of xen/tools/xenstore/xenstored_domain.c: all guests share 200 writes a second; each may save up ten, what is
 * saved beyond that goes into a reserve for those in need. A guest that is in debt is not read from until the debt is paid.
 */
import type { Clock } from '../scheduler.ts';
import type { Caller } from './permissions.ts';

const PER_SECOND = 200;
const BURST = 10;
const RESERVE = 1000;
/** So many new guests may begin with a full burst that is not there yet. */
const NEW_GUESTS = 5;

interface Account {
  credit: number;
  at: number;
}

export class WriteRate {
  readonly #clock: Clock | undefined;
  readonly #accounts = new Map<number, Account>();
  #reserve = 0;

  constructor(clock: Clock | undefined) {
    this.#clock = clock;
  }

  add(domid: number): void {
    const given = Math.max(0, Math.min(BURST, this.#reserve + BURST * NEW_GUESTS));
    this.#reserve -= given;
    this.#accounts.set(domid, { credit: given, at: this.#clock?.now() ?? 0 });
  }

  remove(domid: number): void {
    const account = this.#accounts.get(domid);
    if (!account) return;
    this.#accounts.delete(domid);
    if (account.credit > 0) this.#reserve = Math.min(RESERVE, this.#reserve + account.credit);
  }

  /** A change has been made that transactions of others, if there are any, may fail for. */
  written(caller: Caller, openTransactions: number): void {
    const account = caller.privileged || openTransactions === 0 ? undefined : this.#current(caller.domid);
    if (account) account.credit -= 1;
  }

  /** Milliseconds until the domain may be read from again. */
  delay(domid: number): number {
    const account = this.#current(domid);
    if (!account || account.credit >= 0) return 0;
    return Math.ceil((-account.credit * 1000 * this.#accounts.size) / PER_SECOND);
  }

  /** The account as it is now; undefined when nobody counts. */
  #current(domid: number): Account | undefined {
    const account = this.#accounts.get(domid);
    if (!this.#clock || !account) return undefined;
    const now = this.#clock.now();
    account.credit += ((now - account.at) * PER_SECOND) / 1000 / this.#accounts.size;
    account.at = now;
    if (account.credit < 0) {
      const lent = Math.max(0, Math.min(-account.credit, this.#reserve));
      account.credit += lent;
      this.#reserve -= lent;
    }
    const surplus = Math.max(0, account.credit - BURST);
    account.credit -= surplus;
    this.#reserve = Math.min(RESERVE, this.#reserve + surplus);
    return account;
  }
}
