/** Reads a file into memory that threads share, so that no thread which works on it gets a copy: kernels have tens of megabytes. */
import { open } from 'node:fs/promises';

/** As readFile; a file that grows meanwhile is read up to the size that it had. */
export async function readShared(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const status = await file.stat();
  if (!status.isFile()) return await file.readFile();
  const bytes = new Uint8Array(new SharedArrayBuffer(status.size));
  let at = 0;
  while (at < bytes.length) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}
