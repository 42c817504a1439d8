/** The thread behind aside.ts: a reply for each request, in their order. */
import { parentPort } from 'node:worker_threads';
import { inspectRamdisk, type Ramdisk } from '../ramdisk.ts';
import { CorruptData } from './corrupt-data.ts';
import { decompressPayload } from './decompress.ts';

export interface AsideRequest {
  readonly job: 'payload' | 'ramdisk';
  readonly bytes: Uint8Array;
}
export type AsideReply = ({ readonly ok: true } & Ramdisk) | { readonly ok: false; readonly reason: string };

parentPort?.on('message', ({ job, bytes }: AsideRequest) => {
  try {
    if (job === 'payload') {
      const plain = owned(decompressPayload(bytes));
      reply({ ok: true, bytes: plain }, [plain.buffer]);
    } else {
      // The bytes go back with what was found.
      const found = inspectRamdisk(bytes);
      const ramdisk = { ...found, bytes: owned(found.bytes) };
      if (found.unzipped === undefined) reply({ ok: true, ...ramdisk }, [ramdisk.bytes.buffer]);
      else {
        const unzipped = owned(found.unzipped);
        reply({ ok: true, ...ramdisk, unzipped }, [ramdisk.bytes.buffer, unzipped.buffer]);
      }
    }
  } catch (error) {
    if (!(error instanceof CorruptData)) throw error;
    reply({ ok: false, reason: error.message }, []);
  }
});

function reply(message: AsideReply, transfer: ArrayBuffer[]): void {
  parentPort?.postMessage(message, transfer);
}

/** Zlib gives views of larger buffers, some of them pooled: those cannot be handed over. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength;
  return isWhole ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
