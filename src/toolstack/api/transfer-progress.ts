/** How far the saving, restoring or moving of a guest is. */
import type { TransferListener } from '../migration/transfer.ts';

/** How far it is. */
export interface TransferProgress {
  /** Pages of 4 KiB looked at in this pass over memory. */
  readonly done: number;
  /** Pages of this pass. */
  readonly total: number;
  /** Of a guest that moves while it runs there are several; the last is the one for which it stands still. */
  readonly pass: number;
}

/** Hears how far it is, up to a hundred times in each pass. */
export type OnTransferProgress = (progress: TransferProgress) => void;

export function listener(log: (line: string) => void, onProgress: OnTransferProgress | undefined): TransferListener {
  return { line: log, progress: (done, total, pass) => onProgress?.({ done, total, pass }) };
}
