/** What a long step reports. `done` and `total` are bytes, where they are known. */
export interface Progress {
  /** A few words for a person. */
  readonly step: string;
  /** Bytes that are there. */
  readonly done?: number;
  /** Bytes that there will be. */
  readonly total?: number;
}

/** Hears what a long step reports. */
export type OnProgress = (progress: Progress) => void;

export function noProgress(): void {}

/** Lets timers and signals run between two pieces of long work. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
