/** Whole domains that are written down, sent, and brought back: what the daemon does for xl, and a program for itself (../api). */
import type { FileHandle } from 'node:fs/promises';
import type { DomainControl, XenVersion } from '../../hypervisor/control.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import type { ManagedDomain } from '../domain/managed-domain.ts';
import { LibxlError, libxlLine } from '../domain/libxl-error.ts';
import { occupied } from '../domain/occupation.ts';
import type { BuiltRings, Clock } from '../domain/services.ts';
import { StreamError, type ByteSink, type ByteSource } from './byte-stream.ts';
import type { HostMemory } from './host-memory.ts';
import { FileSource } from './file-stream.ts';
import { restoreDomain } from './libxc-restore.ts';
import { saveDomain, type SaveOutcome } from './libxc-save.ts';
import { readLibxlStream, writeLibxlStream } from './libxl-stream.ts';
import { suspend } from './suspend.ts';
import type { Transit } from './transit.ts';

export interface TransferGlue {
  readonly manager: DomainManager;
  readonly hypervisor: { readonly version: XenVersion };
  readonly clock: Clock;
  readonly transit: Transit;
  readonly memory: HostMemory;
  readonly onError: (error: unknown) => void;
}

/** Who wants to know how far it is. */
export interface TransferListener {
  /** A line that xl writes to standard error. */
  line(text: string): void;
  /** Pages looked at in this pass over memory, of so many; with each percent. */
  progress(done: number, total: number, pass: number): void;
}

/** What becomes of a domain once it is saved. */
export const afterSave = ['destroy', 'run', 'pause'] as const;
/** `destroy`: nothing is left of it. `run`: it goes on at once. `pause`: it is left paused. */
export type AfterSave = (typeof afterSave)[number];

export interface MigrationFigures {
  readonly passes: number;
  readonly pagesSent: number;
  /** Milliseconds since 1970: when it began, and when the guest stopped. */
  readonly began: number;
  readonly stopped: number;
}

/** How often progress is told: libxc tells of each percent. */
const STEPS = 100;

export interface SaveRequest {
  readonly after: AfterSave;
  readonly signal?: AbortSignal | undefined;
  /** Once the domain is gone what was written is all there is of it: resolves when it will stay. */
  readonly complete: () => Promise<void>;
}

/** A domain that cannot be saved goes on. Throws LibxlError, or the signal's reason. */
export async function saveTo(
  glue: TransferGlue,
  domid: number,
  sink: ByteSink,
  request: SaveRequest,
  listener: TransferListener,
): Promise<void> {
  const domain = savable(glue, domid, 'be saved');
  return occupied(domain, 'saved', () => save(glue, domain, sink, request, listener));
}

async function save(
  { manager, hypervisor, clock }: TransferGlue,
  domain: ManagedDomain,
  sink: ByteSink,
  { after, signal, complete }: SaveRequest,
  listener: TransferListener,
): Promise<void> {
  const { domid } = domain;
  listener.line(`xc: info: Saving domain ${domid}, type x86 PV`);
  let suspended = false;
  try {
    await suspend(manager, domain, clock, signal);
    suspended = true;
    const options = {
      xenVersion: hypervisor.version,
      onProgress: byPercent(listener),
      ...(signal === undefined ? {} : { signal }),
    };
    await writeLibxlStream(sink, () => saveDomain(domain.control, sink, options));
    await complete();
  } catch (error) {
    if (suspended && domain.destruction === undefined) manager.resume(domid);
    throw error instanceof StreamError || isSystemError(error) ? notSaved(error.message, error) : error;
  }
  if (after === 'pause') manager.pause(domid);
  if (after === 'destroy') await manager.destroy(domid);
  else manager.resume(domid);
}

/**
 * Sends a running domain, and resolves when all of it is sent and it has suspended: it goes on here unless it is given away (transit.ts). `gone` is aborted when
 * nobody receives it any more. Throws LibxlError, or the reason of `gone`.
 */
export async function sendTo(
  glue: TransferGlue,
  domid: number,
  sink: ByteSink,
  gone: AbortSignal,
  listener: TransferListener,
): Promise<MigrationFigures> {
  const domain = savable(glue, domid, 'move');
  return occupied(domain, 'moved', () => send(glue, domain, sink, gone, listener));
}

async function send(
  { manager, hypervisor, clock, transit, memory }: TransferGlue,
  domain: ManagedDomain,
  sink: ByteSink,
  gone: AbortSignal,
  listener: TransferListener,
): Promise<MigrationFigures> {
  const { domid } = domain;
  const began = clock.now();
  let stopped = began;
  listener.line(`xc: info: Saving domain ${domid}, type x86 PV`);
  const options = {
    xenVersion: hypervisor.version,
    onProgress: byPercent(listener),
    signal: gone,
    watchWrites: memory.watchWrites,
    suspend: async () => {
      stopped = clock.now();
      await suspend(manager, domain, clock, gone);
      await transit.suspended(domain);
    },
  };
  let outcome: SaveOutcome | undefined;
  try {
    await writeLibxlStream(sink, async () => {
      outcome = await saveDomain(domain.control, sink, options);
    });
    gone.throwIfAborted();
  } catch (error) {
    await transit.takeBack(domid);
    throw error instanceof StreamError ? notSaved(error.message, error) : error;
  }
  return { passes: outcome?.passes ?? 0, pagesSent: outcome?.pagesSent ?? 0, began, stopped };
}

/** A saved domain's file, which is held for as long as the domain may have pages of it. */
export interface MappedSource {
  readonly source: FileSource;
  /** The domain of this number is made of it. */
  readonly complete: (domid: number) => void;
  /** It has not become a domain. */
  readonly giveUp: () => void;
}

export function mappedSource(
  { manager, transit, memory, onError }: Pick<TransferGlue, 'manager' | 'transit' | 'memory' | 'onError'>,
  file: FileHandle,
  offset: number,
): MappedSource {
  const image = memory.mapImage?.(file.fd);
  return {
    source: new FileSource(file, offset, { image, readCached: memory.readCached }),
    complete(domid) {
      if (image === undefined) return;
      image.settle({ standStill: (work) => transit.standStill(domid, work), onError });
      const stop = manager.onEvent((event) => {
        if (event.domid !== domid || event.kind !== 'destroyed') return;
        stop();
        image.giveUp();
      });
    },
    giveUp: () => image?.giveUp(),
  };
}

/**
 * What fills a new domain with what was saved: `restore` of CreateOptions. Throws LibxlError.
 *
 * @param complete hears of the domain when its memory is there
 */
export function restoreFrom(
  source: ByteSource,
  listener: Pick<TransferListener, 'line'>,
  complete: (domid: number) => void = () => undefined,
): (control: DomainControl) => Promise<BuiltRings> {
  return async (control) => {
    let rings: BuiltRings | undefined;
    const onVersion = (major: number, minor: number): void => {
      listener.line(`xc: info: Found x86 PV domain from Xen ${major}.${minor}`);
      listener.line('xc: info: Restoring domain');
    };
    const onUnknownFeatures = (): void => {
      listener.line(
        'xl: warning: the saved domain does not tell which features of the processor it may use; it fails here when it uses others than there are',
      );
    };
    try {
      await readLibxlStream(source, async () => {
        rings = await restoreDomain(control, source, { onVersion, onUnknownFeatures });
      });
    } catch (error) {
      if (error instanceof StreamError || isSystemError(error)) throw notRestored(error.message, error);
      throw error;
    }
    if (rings === undefined) throw notRestored('the saved domain is damaged: it has no memory');
    complete(control.domid);
    listener.line('xc: info: Restore successful');
    listener.line(`xc: info: XenStore: mfn 0x${rings.storeMfn.toString(16)}, dom 0, evt ${rings.storePort}`);
    listener.line(`xc: info: Console: mfn 0x${rings.consoleMfn.toString(16)}, dom 0, evt ${rings.consolePort}`);
    return rings;
  };
}

/** @param what it cannot do if one of its disks is bound to this host */
function savable({ manager, transit }: TransferGlue, domid: number, what: 'move' | 'be saved'): ManagedDomain {
  const domain = manager.domain(domid);
  if (domain === undefined) throw notSaved(domid === 0 ? 'Invalid argument' : 'No such process');
  if (transit.holds(domid)) throw notSaved('it is on its way to another host');
  const bound = manager.devices.boundDisk(domain, what);
  if (bound !== undefined) throw notSaved(bound);
  return domain;
}

function byPercent(listener: TransferListener): (done: number, total: number, pass: number) => void {
  let told = 0;
  return (done, total, pass) => {
    if (done < told) told = 0;
    if (done < total && done < told + total / STEPS) return;
    told = done;
    listener.progress(done, total, pass);
  };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function notSaved(why: string, cause?: unknown): LibxlError {
  const line = libxlLine('libxl__xc_domain_save_done', `saving domain: ${why}`);
  return new LibxlError('FAIL', [`xc: error: Save failed: ${why}`, line], why, cause);
}

function notRestored(why: string, cause?: unknown): LibxlError {
  const line = libxlLine('libxl__xc_domain_restore_done', `restoring domain: ${why}`);
  return new LibxlError('FAIL', [`xc: error: Restore failed: ${why}`, line], why, cause);
}
