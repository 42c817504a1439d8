/** What must not compile. The compiler is the test: a line below that does compile is an error of its own. */
import { it } from 'node:test';
import type { Guest } from './guest.ts';
import type { HostEvent } from './host-event.ts';
import type { InProcessHost } from './in-process-host.ts';

export function misuse(host: InProcessHost, guest: Guest): readonly unknown[] {
  return [
    // @ts-expect-error memory is a number of MiB
    () => host.create({ memory: '128' }),
    // @ts-expect-error a misspelt member
    () => host.create({ kernle: '/boot/vmlinuz' }),
    // @ts-expect-error no such action
    () => host.create({ onCrash: 'reboot' }),
    // @ts-expect-error a disk has a target
    () => host.create({ disks: [{ vdev: 'xvda' }] }),
    // @ts-expect-error a program and its arguments are a list: nothing is given to a shell
    () => guest.exec('ls -l'),
    // @ts-expect-error a guest moves to a host or to what a command starts
    () => guest.migrate('ssh other xl migrate-receive'),
    // @ts-expect-error nobody else decides how it has ended
    () => (guest.exit = { reason: 'poweroff' }),
    // @ts-expect-error an event has a type
    (event: HostEvent) => event.kind,
  ];
}

it('is refused by the compiler', () => void misuse);
