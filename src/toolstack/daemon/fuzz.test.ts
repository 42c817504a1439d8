/**
 * Whatever comes on the daemon's sockets: who speaks no sense is hung up on, a request that cannot be met is answered with an error for a person, and the
 * daemon serves others. A bug of ours would be told in the daemon's log.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import type { JsonObject, JsonValue } from '../config/json.ts';
import { parseConfig } from '../config/parse-config.ts';
import type { Clock } from '../domain/services.ts';
import { FakeDiskHost } from '../testing/fake-disk-host.ts';
import { TestDaemon } from '../testing/test-daemon.ts';
import { RequestError } from './client.ts';
import { encodeData, encodeMessage, FrameError, FrameReader, maxFrame } from './frames.ts';
import type { Method } from './protocol.ts';

/** Whoever waits has waited long enough as soon as everybody else had a turn. */
class HastyClock implements Clock {
  #time = 1_700_000_000_000;

  now(): number {
    return this.#time;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) =>
      setImmediate(() => {
        this.#time += milliseconds;
        if (signal?.aborted === true) reject(new Error('cancelled'));
        else resolve();
      }),
    );
  }
}

const methods: readonly Exclude<Method, 'stop'>[] = [
  ...(['hello', 'list', 'configs', 'vcpus', 'profile', 'info', 'dmesg', 'domid', 'domname', 'create'] as const),
  ...(['pause', 'unpause', 'destroy', 'shutdown', 'reboot', 'rename', 'attachDisk', 'findDisk', 'detachDisk'] as const),
  ...(['disks', 'insertCdrom', 'attachNic', 'findNic', 'detachNic', 'nics', 'sysrq', 'watchDeaths'] as const),
  ...(['attachConsole', 'xenstoreNode', 'forwards', 'addForward', 'removeForward'] as const),
];

const method: fc.Arbitrary<Method> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...methods) },
  { weight: 1, arbitrary: fc.constant('create' as const) },
);

const sound = JSON.parse(
  JSON.stringify(
    parseConfig(
      'name="web"\nkernel="k"\nmemory=64\nvcpus=2\ndisk=["/a,raw,xvda,w"]\nvif=["mac=00:16:3e:01:02:03"]\nextra="x"\n',
      't.cfg',
      { cpus: 2 },
      () => undefined,
    ).config,
  ),
) as JsonObject;

const any = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<JsonValue>;
/** A member of a value, or of a member, is another than it was, or gone. */
function spoil(value: JsonValue, path: readonly number[], by: JsonValue | undefined): JsonValue {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== 'object' || value === null) return by ?? null;
  const entries = Object.entries(value as Readonly<Record<string, JsonValue>>);
  if (entries.length === 0) return by ?? null;
  const at = step % entries.length;
  const changed = entries.flatMap(([key, member], i) => {
    if (i !== at) return [[key, member] as const];
    return rest.length === 0 && by === undefined ? [] : [[key, spoil(member, rest, by)] as const];
  });
  return Array.isArray(value) ? changed.map(([, member]) => member) : Object.fromEntries(changed);
}
const config = fc
  .array(fc.tuple(fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }), fc.option(any, { nil: undefined })), {
    maxLength: 2,
  })
  .map((changes) => changes.reduce<JsonValue>((value, [path, by]) => spoil(value, path, by), sound));

const text = fc.constantFrom(
  'web',
  'a',
  '',
  'x'.repeat(300),
  '/local/domain/1',
  'xvda',
  'xvdb',
  '51712',
  '0',
  'h',
  '22',
  'web:22',
  'xenbr0',
  '\0',
);
const orAny = (usual: fc.Arbitrary<JsonValue>): fc.Arbitrary<JsonValue> =>
  fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: any });
const device = fc.dictionary(
  fc.constantFrom(
    'vdev',
    'pdev_path',
    'format',
    'readwrite',
    'is_cdrom',
    'removable',
    'backend_domname',
    'mac',
    'bridge',
    'ip',
    'devid',
    'rate_bytes_per_interval',
    'script',
    'nictype',
    'mtu',
  ),
  orAny(text),
);
const params = fc.record(
  {
    domid: orAny(fc.constantFrom(0, 1, 1, 1, 2, 3, 77)),
    domids: orAny(fc.array(fc.nat(3), { maxLength: 3 })),
    num: orAny(fc.integer({ min: -1, max: 2 })),
    config: orAny(config),
    disk: orAny(device),
    nic: orAny(device),
    ...Object.fromEntries(
      ['name', 'vdev', 'which', 'letter', 'path', 'host', 'guest', 'bridge'].map((key) => [key, orAny(text)]),
    ),
    ...Object.fromEntries(
      ['paused', 'monitor', 'foreground', 'verbose', 'clear', 'force'].map((key) => [key, orAny(fc.boolean())]),
    ),
    milliseconds: orAny(fc.constantFrom(100, 200, 0)),
    top: orAny(fc.constantFrom(1, 10)),
  },
  { noNullPrototype: true },
) as fc.Arbitrary<JsonObject>;

describe('the daemon’s socket under fire', () => {
  const test = new TestDaemon();
  const { where } = test;
  const client = test.client.bind(test);
  const complaints: string[] = [];

  before(() =>
    test.start({
      clock: new HastyClock(),
      diskHost: new FakeDiskHost(),
      // What is refused is told in a line; a stack is a bug.
      log: (line) => void (/\n +at /.test(line) && complaints.push(line)),
    }),
  );
  after(async () => {
    await test.close();
    assert.ok(test.host.guests.length > 20, 'some domains were made');
  });

  async function serves(): Promise<void> {
    const other = await client();
    assert.equal((await other.call('hello', {})).pid, process.pid);
    const { domains } = await other.call('list', {});
    for (const { domid } of domains) if (domid > 0) await other.call('destroy', { domid }).catch(() => undefined);
    other.close();
  }

  it('answers any request, with an error for a person when it cannot be met', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(method, params), { maxLength: 12 }), async (requests) => {
        complaints.length = 0;
        const asking = await client();
        for (const [method, given] of requests) {
          // With a monitor the request is answered when the domain has ended.
          const wanted = {
            ...given,
            ...(method === 'create' && given['foreground'] === true ? { monitor: false } : {}),
          };
          await asking.call(method, wanted as never).catch((error: unknown) => {
            assert.ok(error instanceof RequestError, String(error));
            assert.ok(error.message.length > 0);
            assert.doesNotMatch(error.message, /internal error|undefined|\[object/);
          });
        }
        asking.close();
        await serves();
        assert.deepEqual(complaints, []);
      }),
      fuzz(200),
    );
  });

  it('hangs up on who speaks no sense, in pieces of any size', async () => {
    const message = fc.record({
      id: any,
      method: orAny(fc.constantFrom('hello', 'list')),
      params: any,
    }) as fc.Arbitrary<JsonObject>;
    const frame = fc.oneof(
      { weight: 4, arbitrary: message.map(encodeMessage) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }).map(encodeData) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }) },
      { weight: 1, arbitrary: fc.constantFrom('[]', '{', '"x"', 'null', '\xff').map((json) => encodeText(json)) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 20 }), fc.integer({ min: 1, max: 200 }), async (frames, size) => {
        const bytes = Buffer.concat(frames);
        const socket = connect(where.socket);
        socket.on('error', () => undefined);
        socket.resume();
        for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size));
        socket.end();
        await once(socket, 'close');
        await serves();
      }),
      fuzz(200),
    );
  });

  it('reads frames the same however they are cut, or refuses them, and keeps no more than one', () => {
    const length = fc.oneof(fc.nat(20), fc.constantFrom(maxFrame, maxFrame + 1, 0xffffffff));
    const head = fc.tuple(length, fc.nat(3), fc.uint8Array({ maxLength: 20 })).map(([count, kind, body]) => {
      const bytes = Buffer.alloc(5 + body.length);
      bytes.writeUInt32LE(count, 0);
      bytes.writeUInt8(kind, 4);
      bytes.set(body, 5);
      return bytes;
    });
    const right = fc.uint8Array({ maxLength: 20 }).map((body) => Buffer.from(encodeData(body)));
    fc.assert(
      fc.property(
        fc.array(fc.oneof(head, right), { maxLength: 10 }),
        fc.integer({ min: 1, max: 40 }),
        (parts, size) => {
          const bytes = Buffer.concat(parts);
          assert.deepEqual(framesOf(bytes, size), framesOf(bytes, bytes.length + 1));
        },
      ),
      fuzz(300),
    );
  });
});

function encodeText(json: string): Uint8Array {
  const bytes = Buffer.from(`     ${json}`, 'latin1');
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes.writeUInt8(0, 4);
  return bytes;
}

function framesOf(bytes: Uint8Array, size: number): unknown[] {
  const reader = new FrameReader();
  const frames: unknown[] = [];
  try {
    for (let at = 0; at < bytes.length; at += size)
      for (const frame of reader.push(bytes.subarray(at, at + size))) {
        // Data frames come in parts.
        if (frame.kind === 'data') frames.push(...frame.bytes);
        else frames.push(frame);
      }
  } catch (error) {
    assert.ok(error instanceof FrameError);
    frames.push('refused');
  }
  return frames;
}
