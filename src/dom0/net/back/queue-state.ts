/** What one pair of rings consists of, and what of it survives when whoever serves it fails. */
import { NETIF_RSP } from '../../../abi/io/netif.ts';
import type { BackRing, Channel } from '../../backend/index.ts';
import { EXTRA } from './tx-requests.ts';

export interface QueueState {
  readonly tx: BackRing;
  readonly rx: BackRing;
  readonly txChannel: Channel;
  /** The same as `txChannel` where the frontend has but one. */
  readonly rxChannel: Channel;
  /** Transmit requests taken and not answered: ids, and EXTRA for extra infos. */
  readonly txTaken: number[];
  /** Receive requests taken and not answered: ids. */
  readonly rxTaken: number[];
}

const words = new Int32Array(2);

/** Answers all transmit requests that were taken. True: the frontend wants to hear of it. */
export function answerTx({ tx, txTaken }: QueueState, status: number): void {
  let done = 0;
  try {
    for (const id of txTaken) {
      words[0] = id === EXTRA ? NETIF_RSP.NULL << 16 : id | (status << 16);
      tx.respond(words);
      done += 1;
    }
  } finally {
    // What is answered is not answered again by a successor.
    txTaken.splice(0, done);
  }
}

/** Answers one receive request that was taken. */
export function answerRx({ rx, rxTaken }: QueueState, offset: number, flags: number, status: number): void {
  words[0] = (rxTaken[0] ?? 0) | (offset << 16);
  words[1] = flags | (status << 16);
  rx.respond(words);
  rxTaken.shift();
}

/** Answers one receive request with an extra info. */
export function answerExtra({ rx, rxTaken }: QueueState, low: number, high: number): void {
  words[0] = low;
  words[1] = high;
  rx.respond(words);
  rxTaken.shift();
}

/** After a failure: nothing that was taken stays without an answer, or the frontend would lose its slots one by one. */
export function abandonTaken(state: QueueState): void {
  answerTx(state, NETIF_RSP.ERROR);
  while (state.rxTaken.length > 0) answerRx(state, 0, 0, NETIF_RSP.ERROR);
  if (state.tx.push()) state.txChannel.notify();
  if (state.rx.push()) state.rxChannel.notify();
}
