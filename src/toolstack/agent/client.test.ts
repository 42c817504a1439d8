import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../../abi/testing/fuzz.ts';
import { AgentClient } from './client.ts';
import { AgentBusyError, AgentGoneError, AgentNotThereError, CommandNotFoundError } from './errors.ts';
import { AgentHub } from './hub.ts';
import { inflowWindow } from './inflow.ts';
import { Ask, Stage, Tell, Work, type Message } from './protocol.ts';
import { AgentSession } from './session.ts';
import { FakeAgent } from './testing/fake-agent.ts';

/** Answers like a program that prints `text` and ends. */
function echoing(agent: FakeAgent, text: string): void {
  agent.onMessage = ({ type, id }) => {
    if (type !== Ask.open) return;
    agent.send(Tell.started, id, [7, 0, 0, 0]);
    agent.send(Tell.output, id, [1, ...Buffer.from(text)]);
    agent.send(Tell.exited, id, [3, 0]);
    agent.send(Tell.result, id, [0, 0, 0, 0, 0]);
  };
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn();
};
const opens = (messages: readonly Message[]): number[] =>
  messages.filter(({ type }) => type === Ask.open).map(({ id }) => id);

describe('a client of a guest’s agent', () => {
  it('runs a program and has its output and exit code', async () => {
    const agent = new FakeAgent();
    echoing(agent, 'hi');
    const client = await AgentClient.connect(agent.channel);
    const program = await client.exec(['greet', 'you'], { env: { A: 'b' }, cwd: '/tmp' });
    const { stdout, stderr, status } = await program.output();
    assert.deepEqual([String(stdout), stderr.length, status.code], ['hi', 0, 3]);
    const asked = agent.asked[0];
    assert.equal(asked?.content[0], Work.exec);
    assert.equal(
      String(asked.content.subarray(9 + 6))
        .split('\0')
        .join('|'),
      '/tmp|greet|you|A=b|',
    );
  });

  it('tells what cannot be run by an error of its own', async () => {
    const agent = new FakeAgent();
    const client = await AgentClient.connect(agent.channel);
    agent.onMessage = ({ id }) => agent.result(id, 2, Stage.command);
    await assert.rejects(client.exec(['nonesuch']), CommandNotFoundError);
    agent.onMessage = ({ id }) => agent.result(id, 87);
    await assert.rejects(client.exec(['true']), AgentBusyError);
    agent.onMessage = ({ id }) => agent.result(id, 13);
    await assert.rejects(client.readFile('/secret'), { name: 'GuestFileError', code: 'EACCES', path: '/secret' });
  });

  it('waits for an agent that comes later, and says when none does', async () => {
    const late = new FakeAgent();
    late.reading = false;
    const connected = AgentClient.connect(late.channel);
    await turn();
    late.sendBytes(Buffer.from('^@noise of a terminal that echoes'));
    late.hello(new Uint8Array(8));
    late.read();
    await connected;
    const never = new FakeAgent();
    never.reading = false;
    await assert.rejects(AgentClient.connect(never.channel, { timeoutMs: 5 }), AgentNotThereError);
    assert.ok(never.ended);
    const old = new FakeAgent();
    old.version = 9;
    await assert.rejects(AgentClient.connect(old.channel), /speaks version 9/);
  });

  it('sends no more than the guest has room for, and keeps nobody waiting by it', async () => {
    const agent = new FakeAgent();
    agent.window = 10_000;
    const client = await AgentClient.connect(agent.channel);
    agent.onMessage = ({ type, id }) => {
      if (type === Ask.open) agent.send(Tell.started, id, [7, 0, 0, 0]);
    };
    await client.exec(['slow'], { stdin: Buffer.alloc(30_000) });
    await settle();
    const sent = (): number =>
      agent.asked.filter(({ type }) => type === Ask.data).reduce((sum, { content }) => sum + content.length, 0);
    assert.equal(sent(), 10_000);
    const [id = 0] = opens(agent.asked);
    agent.send(Tell.room, id, [0x88, 0x13, 0, 0]);
    await settle();
    assert.equal(sent(), 15_000);
    echoing(agent, 'quick');
    assert.equal(String((await (await client.exec(['quick'])).output()).stdout), 'quick');
  });

  it('lets a program go on as its output is read, and ends with an agent that sends more', async () => {
    const agent = new FakeAgent();
    const client = await AgentClient.connect(agent.channel);
    agent.onMessage = ({ type, id }) => {
      if (type === Ask.open) agent.send(Tell.started, id, [7, 0, 0, 0]);
    };
    const program = await client.exec(['yes']);
    const [id = 0] = opens(agent.asked);
    const piece = [1, ...Buffer.alloc(4096)];
    for (let sent = 0; sent < inflowWindow; sent += 4096) agent.send(Tell.output, id, piece);
    await settle();
    assert.equal(agent.asked.filter(({ type }) => type === Ask.credit).length, 0);
    const reader = program.stdout.getReader();
    for (let read = 0; read < inflowWindow; read += 4096) await reader.read();
    await settle();
    assert.ok(agent.asked.some(({ type }) => type === Ask.credit));
    for (let sent = 0; sent <= 2 * inflowWindow; sent += 4096) agent.send(Tell.output, id, piece);
    await assert.rejects(program.exited, /prints more than it may/);
    assert.ok(client.ended);
  });

  it('fails what is under way when the guest is gone', async () => {
    const agent = new FakeAgent();
    const client = await AgentClient.connect(agent.channel);
    const file = client.readFile('/x');
    agent.onMessage = ({ type, id }) => {
      if (type === Ask.open) agent.send(Tell.started, id, [7, 0, 0, 0]);
    };
    const program = await client.exec(['sleep']);
    agent.end();
    await assert.rejects(file, AgentGoneError);
    await assert.rejects(program.exited, AgentGoneError);
    await assert.rejects(client.stat('/'), AgentGoneError);
  });

  it('takes whatever a hostile agent says without harm', async () => {
    const numbers = fc.uint8Array({ maxLength: 64 });
    const answer = fc.record({ type: fc.integer({ min: 0x80, max: 0x90 }), id: fc.nat(4), content: numbers });
    await fc.assert(
      fc.asyncProperty(fc.array(answer, { maxLength: 40 }), async (answers) => {
        const agent = new FakeAgent();
        const client = await AgentClient.connect(agent.channel);
        const work = [
          client.exec(['a'], { stdin: 'text' }).then((program) => program.output()),
          client.readFile('/f'),
          client.list('/'),
          client.writeFile('/f', 'text'),
        ].map((promise: Promise<unknown>) => promise.catch(() => undefined));
        for (const { type, id, content } of answers) agent.send(type, id, content);
        await settle();
        agent.end();
        await Promise.all(work);
      }),
      fuzz(100),
    );
  });

  it('does not send without end to one that says it has room and does not read', async () => {
    const agent = new FakeAgent();
    const client = await AgentClient.connect(agent.channel);
    let given = 0;
    function* endless(): Generator<Uint8Array> {
      for (;;) {
        given += 4096;
        yield Buffer.alloc(4096);
      }
    }
    agent.onMessage = ({ type, id }) => {
      if (type === Ask.open) agent.send(Tell.started, id, [7, 0, 0, 0]);
    };
    await client.exec(['cat'], { stdin: endless() });
    agent.reading = false;
    for (let i = 0; i < 200; i++) {
      agent.send(Tell.room, 1, [0, 0, 1, 0]);
      await turn();
    }
    assert.ok(given < 200_000, `${given} bytes wait`);
    client.close();
    agent.read();
  });
});

describe('a session that several share', () => {
  it('keeps their programs apart, and ends those of who leaves', async () => {
    const agent = new FakeAgent();
    const hub = new AgentHub(await AgentSession.open(agent.channel));
    const [one, two] = [new AgentClient(hub.link()), new AgentClient(hub.link())];
    agent.onMessage = ({ type, id }) => {
      if (type === Ask.open) agent.send(Tell.started, id, [id, 0, 0, 0]);
    };
    const [first, second] = [await one.exec(['one']), await two.exec(['two'])];
    assert.notEqual(first.pid, second.pid);
    agent.send(Tell.exited, second.pid, [9, 0]);
    agent.result(second.pid);
    assert.equal((await second.exited).code, 9);
    one.close();
    await settle();
    assert.deepEqual(
      agent.asked.filter(({ type }) => type === Ask.close).map(({ id }) => id),
      [first.pid],
    );
    await assert.rejects(first.exited, AgentGoneError);
    await two.exec(['three']);
    agent.end();
    await settle();
    assert.ok(hub.ended);
    assert.throws(() => hub.link(), AgentGoneError);
  });
});
