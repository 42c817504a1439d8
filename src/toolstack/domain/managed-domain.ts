/** A domain as the toolstack knows it, what happens to it, and how it is asked for. */
import type { DomainControl, DomainTemplate } from '../../hypervisor/control.ts';
import type { BuildLog } from '../builder/build-log.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { BuiltRings } from './services.ts';

export interface ManagedDomain {
  readonly domid: number;
  readonly control: DomainControl;
  /** Changes when the domain is preserved under another identity. */
  uuid: string;
  name: string;
  /** What the domain is made from again after a reboot. */
  readonly config: DomainConfig;
  /** `xl config-update`: what it is made from then, in place of `config`. */
  nextConfig: DomainConfig | undefined;
  readonly startTime: number;
  /** Its shutdown has been told to those who listen. */
  announced: boolean;
  /** Until it runs, for a guest that was suspended and has arrived here: what it will look for. */
  resting: BuiltRings | undefined;
  /** Set once destruction has begun. */
  destruction: Promise<void> | undefined;
}

export type DomainEvent =
  | { readonly kind: 'paused'; readonly domid: number }
  | { readonly kind: 'unpaused'; readonly domid: number }
  | DomainEnd
  /** After a suspend the domain goes on. */
  | { readonly kind: 'resumed'; readonly domid: number };

export type DomainEnd =
  | { readonly kind: 'shutdown'; readonly domid: number; readonly reason: number }
  | { readonly kind: 'destroyed'; readonly domid: number };

export function isEnd(event: DomainEvent): event is DomainEnd {
  return event.kind === 'shutdown' || event.kind === 'destroyed';
}

export interface CreateOptions {
  /** xl -v: what the builder does, line by line. */
  readonly log?: BuildLog;
  /** In place of building it: fills the paused domain with what was saved. Throws StreamError. */
  readonly restore?: (control: DomainControl) => Promise<BuiltRings>;
  /** With `restore`: what the domain has in it already. */
  readonly template?: DomainTemplate;
  /** With a template: it is unpaused as soon as it is there. */
  readonly runsSoon?: boolean;
}
