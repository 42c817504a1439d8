/** A guest's ring with a guest that does nothing but ask: what the store's half of it costs. */
import { XENSTORE_RING_SIZE, XenstoreDomainInterface } from '../../src/abi/io/xs-wire.ts';
import { FakeHypervisor } from '../../src/dom0/testing/fake-hypervisor.ts';
import { Xenstored } from '../../src/dom0/xenstore/index.ts';
import { read } from './socket-client.ts';

const at = XenstoreDomainInterface.at;
const ROUNDS = 9;
const SIGNALS = 2000;
const PATH = 'device/vbd/51712/state';

/** Requests a second of processor time, the best of several rounds. */
export function ringThroughput(): number {
  const hypervisor = new FakeHypervisor();
  const xenstored = new Xenstored(hypervisor);
  const domain = hypervisor.add(1);
  const port = domain.allocUnbound();
  const xs = xenstored.client();
  xs.write(`/local/domain/1/${PATH}`, '4');
  xs.setPerms(`/local/domain/1/${PATH}`, 'n1,r0');
  xenstored.introduceDomain(1, 0, port);
  const page = domain.frames.view(0);
  const words = new DataView(page.buffer, page.byteOffset, page.byteLength);
  // So long that a whole number of requests is in the ring, which then looks the same at each signal.
  const request = read(PATH);
  const count = Math.floor(XENSTORE_RING_SIZE / request.length);
  let produced = 0;
  const signal = (): void => {
    for (let i = 0; i < count; i++) {
      for (let byte = 0; byte < request.length; byte++) {
        page[at.req + ((produced + byte) & (XENSTORE_RING_SIZE - 1))] = request[byte] ?? 0;
      }
      produced += request.length;
    }
    words.setUint32(at.req_prod, produced, true);
    domain.send(port);
    if (words.getUint32(at.req_cons, true) !== produced) throw new Error('the store has not taken all requests');
    words.setUint32(at.rsp_cons, words.getUint32(at.rsp_prod, true), true);
  };
  let best = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const from = process.threadCpuUsage();
    for (let i = 0; i < SIGNALS; i++) signal();
    const { user, system } = process.threadCpuUsage(from);
    best = Math.max(best, (count * SIGNALS * 1e6) / (user + system));
  }
  xenstored.close();
  return best;
}
