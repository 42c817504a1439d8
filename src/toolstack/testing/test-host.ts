/** A host of the npm API without processors: the test plays what its guests do. */
import assert from 'node:assert/strict';
import { InProcessHost, type HostPlatform } from '../api/in-process-host.ts';
import type { GuestConfig } from '../api/guest-config.ts';
import type { Guest } from '../api/guest.ts';
import { FakeHost, type GuestDomain } from './fake-host.ts';

export class TestHost implements AsyncDisposable {
  readonly fake = new FakeHost();
  readonly said: string[] = [];
  #host: InProcessHost | undefined;

  static async open(platform: Partial<HostPlatform> = {}): Promise<TestHost> {
    const test = new TestHost();
    const { fake } = test;
    test.#host = await InProcessHost.on({ host: fake.asHost(), build: fake.build, ...platform }, (line) =>
      test.said.push(line),
    );
    return test;
  }

  get host(): InProcessHost {
    return this.#host ?? assert.fail('the host is not open');
  }

  /** A guest with a kernel. */
  create(config: GuestConfig = {}): Promise<Guest> {
    return this.host.create({ kernel: '/boot/vmlinuz', memory: 64, ...config });
  }

  /** What the test plays of it. */
  inside(guest: Guest): GuestDomain {
    return this.fake.guests.find(({ domid }) => domid === guest.domid) ?? assert.fail(`${guest.name} has no domain`);
  }

  print(guest: Guest, text: string): void {
    (this.inside(guest).console ?? assert.fail('no console')).print(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
  }
}
