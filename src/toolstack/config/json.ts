/** JSON laid out as the library xl uses (yajl) lays it out: four blanks, and an empty line inside an empty object or array. */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

export function formatJson(value: JsonValue, indent = ''): string {
  if (typeof value === 'string') return quote(value);
  if (value === null || typeof value !== 'object') return String(value);
  const inner = `${indent}    `;
  const isList = isArray(value);
  const items = isList
    ? value.map((item) => `${inner}${formatJson(item, inner)}`)
    : Object.entries(value)
        .filter((entry): entry is [string, JsonValue] => entry[1] !== undefined)
        .map(([name, item]) => `${inner}${quote(name)}: ${formatJson(item, inner)}`);
  const [open, close] = isList ? ['[', ']'] : ['{', '}'];
  return `${open}\n${items.join(',\n')}\n${indent}${close}`;
}

/** Array.isArray narrows a readonly array to any[]. */
function isArray(value: readonly JsonValue[] | JsonObject): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** yajl escapes what JSON demands, the bell as four hexadecimal digits in capitals. */
function quote(text: string): string {
  const body = text.replace(/["\\\x00-\x1f]/g, (c) => {
    const short = shortEscapes[c];
    return short ?? `\\u${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
  });
  return `"${body}"`;
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
