import { getSystemErrorMessage } from 'node:util';

/** strerror(3) for a failed call: libuv words errors as it does, but for the capital. */
export function systemMessage(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  const text = errno === undefined ? message : getSystemErrorMessage(errno);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
