/** Words of which libxl knows a list: their case does not matter to it (libxl__enum_from_string). */
export function enumeration<T extends string>(values: readonly T[], text: string): T | undefined {
  const lower = text.toLowerCase();
  return values.find((value) => value.toLowerCase() === lower);
}
