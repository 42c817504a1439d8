/** Bytes on a daemon's connection, as data frames around the bytes themselves: they are not copied. */
import type { Socket } from 'node:net';
import { dataHeader, maxData } from './frames.ts';

/**
 * The bytes stay as they are until `written` is called: with an error when the connection has ended. False when the connection should be given time before
 * more is written.
 */
export function writeData(
  socket: Socket,
  chunks: readonly Uint8Array[],
  written?: (error?: Error | null) => void,
): boolean {
  socket.cork();
  let room = true;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += maxData) {
      const piece = chunk.subarray(at, at + maxData);
      socket.write(dataHeader(piece.length));
      room = socket.write(piece);
    }
  }
  if (written !== undefined) socket.write(new Uint8Array(), written);
  socket.uncork();
  return room;
}
