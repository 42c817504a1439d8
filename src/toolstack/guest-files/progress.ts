/** What a long step reports. `done` and `total` are bytes, where they are known. */
export interface Progress {
  readonly step: string;
  readonly done?: number;
  readonly total?: number;
}
export type OnProgress = (progress: Progress) => void;

export function noProgress(): void {}

/** Lets timers and signals run between two pieces of long work. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
