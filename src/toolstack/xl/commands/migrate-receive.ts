/** `xl migrate-receive`: the receiving end of `xl migrate`, on standard input and output. */
import type { JsonObject } from '../../config/json.ts';
import type { DaemonClient } from '../../daemon/client.ts';
import { StreamError } from '../../migration/byte-stream.ts';
import { readSaveFileHeader } from '../../migration/save-file.ts';
import { attempt, printHelp, readArguments, type Invocation } from '../command.ts';
import { showFrames } from '../frames-progress.ts';
import { daemonEnded } from '../daemon-ended.ts';
import { messages, PipeSource } from '../migration-handshake.ts';
import { stalledMs } from '../patience.ts';
import { savedConfig, savedInfo } from '../saved-config.ts';

const long = { colo: 'c', 'coloft-script': 'S:', 'userspace-colo-proxy': 'U' };

export async function run(invocation: Invocation): Promise<number> {
  const { err } = invocation;
  const { has, arguments: given } = await readArguments(invocation, { short: 'Fedrp', long }, 0);
  if (given.length > 0) {
    await printHelp(invocation, 'migrate-receive');
    return 1;
  }
  if (has('r') || has('c')) {
    err('xl: domains with checkpoints (Remus, COLO) are not supported');
    return 1;
  }
  const patience = stalledMs(process.env);
  const stalled = `has said nothing for ${patience / 1000} s`;
  const client = await invocation.daemon();
  err('migration target: Ready to receive domain.');
  const source = new PipeSource(process.stdin);
  process.stdout.on('error', () => undefined);
  const say = (text: string): void => void process.stdout.write(text, 'latin1');
  try {
    say(messages.banner);
    source.limit(patience);
    const saved = await readSaveFileHeader(source);
    err(`Loading new save file <incoming migration stream> (new xl fmt info ${savedInfo(saved)})`);
    err(' Savefile contains xl domain config in JSON format');
    err('Parsing config from <saved>');
    const config = savedConfig(saved, err) as unknown as JsonObject;
    client.onEvent = showFrames(err).event;
    let lost = false;
    source.onEnd = () => {
      lost = true;
      client.close();
    };
    let domid = -1;
    const quiet = { ...invocation, err: (line: string) => void (lost || err(line)) };
    const failure = await attempt(quiet, async () => {
      const monitor = !has('e');
      const received = client.call('migrateReceive', { config, paused: true, monitor, foreground: false });
      // After the request: what comes before it belongs to nobody.
      forward(source, client);
      ({ domid } = await received);
    });
    if (failure !== undefined) {
      if (lost) err(`migration target: the sender ${source.stalled ? stalled : 'has closed the migration stream'}`);
      err(`migration target: Domain creation failed (code ${failure}).`);
      return 1;
    }
    source.forward(undefined);
    err('migration target: Transfer complete, requesting permission to start domain.');
    say(messages.ready);
    await source.expect('permission', 'GO message');
    // From here on the domain is ours: what happens to the pipe does not matter any more.
    source.onEnd = () => undefined;
    err('migration target: Got permission, starting domain.');
    // A daemon that has ended before it was asked has not let the domain run: the sender may, with its disks as they were.
    const neverRan = await daemonEnded(client);
    const refused = await attempt(invocation, () => client.call('startReceived', { domid, paused: has('p') }));
    say(messages.report);
    say(String.fromCharCode(refused === undefined ? 0 : -refused));
    if (refused === undefined) {
      err('migration target: Domain started successsfully.');
      return 0;
    }
    err('migration target: Failure, destroying our copy.');
    if (!neverRan && (await attempt(invocation, () => client.call('destroy', { domid }))) !== undefined) return 1;
    err('migration target: Cleanup OK, granting sender permission to resume.');
    say(messages.permission);
    return 0;
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    err(`migration target: ${source.stalled ? `the sender ${stalled}` : error.message}`);
    return 1;
  } finally {
    process.stdin.destroy();
  }
}

/** At the pace of the daemon. */
function forward(source: PipeSource, client: DaemonClient): void {
  let waiting = false;
  source.forward((chunk) => {
    if (client.send(chunk) || waiting) return;
    waiting = true;
    source.pause();
    void client.whenDrained().then(() => {
      waiting = false;
      source.resume();
    });
  });
}
