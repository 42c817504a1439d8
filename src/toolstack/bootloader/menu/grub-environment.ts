/** GRUB's environment block, `grubenv`: lines of name=value, filled up with `#` (GRUB manual, "The GRUB environment block"). */
export function readEnvironment(text: string): Map<string, string> {
  const found = new Map<string, string>();
  // A backslash takes the next character as it is, a line end too.
  for (const [, name = '', value = ''] of text.matchAll(/^(\w+)=((?:\\[^]|[^\\\n])*)$/gm)) {
    found.set(name, value.replace(/\\([^])/g, '$1'));
  }
  return found;
}
