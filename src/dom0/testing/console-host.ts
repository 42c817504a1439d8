/** A host with a console daemon and no processors. */
import assert from 'node:assert/strict';
import { Consoles, type ConsoleClient, type ConsolesOptions, type DomainConsole } from '../console/index.ts';
import { Xenstored, type Xenstore } from '../xenstore/index.ts';
import { ConsoleFrontend } from './console-frontend.ts';
import { FakeHypervisor, ManualScheduler, type FakeDomain } from './fake-hypervisor.ts';

export class ConsoleHost {
  readonly hypervisor = new FakeHypervisor();
  readonly scheduler = new ManualScheduler();
  readonly xenstored = new Xenstored(this.hypervisor, { scheduler: this.scheduler });
  readonly xs: Xenstore = this.xenstored.client();
  readonly consoles: Consoles;

  constructor(options: ConsolesOptions = {}) {
    this.consoles = new Consoles(this.hypervisor, this.xs, { scheduler: this.scheduler, ...options });
    this.scheduler.run();
  }

  /** A domain with a console in frame 3, in xenstore as the toolstack leaves it. Nothing has noticed it yet. */
  create(domid: number, name: string): { domain: FakeDomain; front: ConsoleFrontend; port: number } {
    const domain = this.hypervisor.add(domid);
    const storePort = domain.allocUnbound();
    const port = domain.allocUnbound();
    this.xs.write(`/local/domain/${domid}/name`, name);
    this.xenstored.introduceDomain(domid, 2, storePort);
    this.xs.transaction((t) => {
      t.write(`/local/domain/${domid}/console/type`, 'xenconsoled');
      t.write(`/local/domain/${domid}/console/port`, port);
      t.write(`/local/domain/${domid}/console/ring-ref`, 3);
    });
    return { domain, port, front: new ConsoleFrontend(domain, 3, port) };
  }

  console(domid: number): DomainConsole {
    this.scheduler.run();
    const console = this.consoles.get(domid);
    assert.ok(console);
    return console;
  }
}

/** All that there is to read now. */
export function textOf(client: ConsoleClient): string {
  let text = '';
  for (let bytes = client.read(); bytes; bytes = client.read()) text += Buffer.from(bytes).toString('latin1');
  return text;
}
