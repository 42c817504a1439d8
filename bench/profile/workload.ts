/** The profiled process: boots a guest, lets it work, and prints when each phase began and ended. */
import { processorModule } from '../../src/cpu/index.ts';
import { createHost } from '../../src/host/node/hypervisor-host.ts';
import { parseConfig } from '../../src/toolstack/config/parse-config.ts';
import type { JsonObject } from '../../src/toolstack/config/json.ts';
import { DaemonClient } from '../../src/toolstack/daemon/client.ts';
import { startDaemon } from '../../src/toolstack/daemon/daemon.ts';
import { prepareRunDirectory } from '../../src/toolstack/daemon/prepare-run-directory.ts';
import { runDirectory } from '../../src/toolstack/daemon/run-directory.ts';
import { Guest } from '../guest/guest.ts';
import { bootFiles, domainConfig } from '../guest/xenolith.ts';
import { GuestSamples } from './guest-samples.ts';

/** What the guest's shell runs: once to get warm, once to be looked at. */
const command = process.argv[2] ?? 'dd if=/dev/zero bs=1M count=40 2>/dev/null | sha256sum';

const note = (text: string): boolean => process.stderr.write(`${text}\n`);
/** V8's profiler counts on the monotonic clock, as hrtime. */
const microseconds = (): number => Number(process.hrtime.bigint() / 1000n);

const files = await bootFiles(note);
const run = runDirectory();
prepareRunDirectory(run);
const host = createHost({ module: processorModule({ named: true }) });
const daemon = await startDaemon({ host, run, log: note });
const connect = async (): Promise<DaemonClient> => {
  const client = await DaemonClient.connect(run.socket);
  if (client === undefined) throw new Error('the daemon does not serve');
  return client;
};
const client = await connect();
const console_ = await connect();
const { config } = parseConfig(domainConfig('profiled', files), 'profile', { cpus: 1 }, note);
note('boots a guest');
const begun = performance.now();
const from = microseconds();
const { domid } = await client.call('create', {
  config: config as unknown as JsonObject,
  paused: false,
  monitor: true,
  foreground: false,
  verbose: false,
});
const samples = new GuestSamples(host, domid);
const guest = new Guest({ domid, begun, created: 0, console: console_, daemon: client });
await console_.call('attachConsole', { domid });
await guest.init();
const init = microseconds();
const inBoot = samples.take();
await guest.shell();
note(`runs ${command}`);
await guest.run(command);
const before = microseconds();
samples.take();
await guest.run(command);
const after = microseconds();
const inSha256 = samples.take();
samples.stop();
await guest.destroy();
client.close();
await daemon.close();
process.stdout.write(
  JSON.stringify([
    { name: 'boot to /init', from, to: init, guest: inBoot },
    { name: command, from: before, to: after, guest: inSha256 },
  ]),
);
