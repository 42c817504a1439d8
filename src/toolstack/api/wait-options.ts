/** For calls that may take long. */
export interface WaitOptions {
  /** Ends the waiting, with its reason as the error. What was asked of a guest is not taken back by that. */
  readonly signal?: AbortSignal | undefined;
}
