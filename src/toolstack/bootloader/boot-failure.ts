/** Why nothing in a guest's disk can be booted: one sentence for its owner. */
export class BootFailure extends Error {
  override readonly name = 'BootFailure';
}
