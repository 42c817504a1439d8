import type { GuestTerminal } from '../guest-terminal.ts';

/** A guest that runs, as the test knows it. */
export interface LivingGuest {
  readonly domid: number;
  readonly terminal: GuestTerminal;
  /** The boot id of its kernel. */
  readonly boot: string;
}
