/** UUIDs in the form xl reads and prints. */

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** In lower case; undefined when the text is no UUID. */
export function parseUuid(text: string): string | undefined {
  return form.test(text) ? text.toLowerCase() : undefined;
}

export function generateUuid(): string {
  return globalThis.crypto.randomUUID();
}

/** The 16 bytes in the order written: xen_domain_handle_t. */
export function uuidBytes(uuid: string): Uint8Array {
  return Uint8Array.from(uuid.replaceAll('-', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function formatUuid(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
