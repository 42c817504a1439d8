/** Requests that write a domain down and bring it back; a part of protocol.ts. */
import type { JsonObject } from '../config/json.ts';
import type { AfterSave, MigrationFigures } from '../migration/transfer.ts';

export interface MigrationMethods {
  /**
   * Suspends the domain and writes libxl's stream into a file that there is, from `offset` on; once it is complete, the file is called `rename`, in place of one that
   * was called so. Events: `{ line }`, and `{ progress: { done, total } }` in pages. A domain that cannot be saved, or whose client goes before that, goes on, and a file that was to be renamed is
   * removed.
   */
  save: {
    params: { domid: number; path: string; rename?: string; offset: number; after: AfterSave };
    result: Record<never, never>;
  };
  /** As `create`, with memory and registers from libxl's stream in a file, which begins at `offset`. Events: `{ line }`. */
  restore: {
    params: {
      config: JsonObject;
      path: string;
      offset: number;
      paused: boolean;
      monitor: boolean;
      foreground: boolean;
    };
    result: { domid: number };
  };
  /**
   * Sends libxl's stream of a running domain as data frames, and answers when it is complete and the domain suspended. It goes on here when the connection
   * ends before `giveAway`. Events as of `save`, progress with `pass`.
   */
  migrateSend: { params: { domid: number }; result: MigrationFigures };
  /** The receiver has it, and may start it from now on. The domain here is renamed. */
  giveAway: { params: { domid: number }; result: Record<never, never> };
  /** The receiver could not: the domain goes on here. */
  takeBack: { params: { domid: number }; result: Record<never, never> };
  /** Makes a domain of the stream that comes as data frames. It is paused, and destroyed when the connection ends before `startReceived`. */
  migrateReceive: {
    params: { config: JsonObject; paused: true; monitor: boolean; foreground: false };
    result: { domid: number };
  };
  startReceived: { params: { domid: number; paused: boolean }; result: Record<never, never> };
  /** Clones of a domain as it is now, which goes on. With a name and more than one, they are NAME-1, NAME-2 and so on. */
  fork: {
    params: { domid: number; count: number; paused: boolean; name?: string };
    result: { clones: readonly CloneSummary[] };
  };
  /** Clones of a saved domain, as `fork` and `restore`. Events: `{ line }`. */
  forkSaved: {
    params: { config: JsonObject; path: string; offset: number; count: number; paused: boolean; name?: string };
    result: { clones: readonly CloneSummary[] };
  };
}

export interface CloneSummary {
  readonly domid: number;
  readonly name: string;
}
