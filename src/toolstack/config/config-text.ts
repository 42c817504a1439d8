/** The text that is parsed: the file's bytes, and after them the `key=value` arguments of the command line. */

/**
 * As xl does it: an empty line, then each argument on a line of its own, so that a later assignment wins and line numbers in
 * messages go on counting after the file's last line.
 */
export function joinOverrides(file: Uint8Array, overrides: readonly string[]): string {
  const text = Buffer.from(file).toString('latin1');
  if (overrides.length === 0) return text;
  const extra = overrides.map((override) => `${Buffer.from(override, 'utf8').toString('latin1')}\n`).join('');
  return `${text}\n${extra}\n`;
}
