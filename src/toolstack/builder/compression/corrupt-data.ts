/** A compressed stream or archive that does not follow its format. Callers turn it into a `XenError` that names the file. */
export class CorruptData extends Error {
  override readonly name = 'CorruptData';
}
