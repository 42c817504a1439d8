import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ManualTimers } from '../../testing/manual-timers.ts';
import { LinkEnd, type Frame } from '../link.ts';
import { parseIp, parseMac } from '../packet/addresses.ts';
import { guardFor, type Given } from './guard.ts';
import { LearningSwitch } from './learning-switch.ts';

const mac = (n: number): Uint8Array => Uint8Array.of(0, 0x16, 0x3e, n >> 16, n >> 8, n);
const macText = (n: number): string => `00:16:3e:00:00:0${n}`;
const broadcast = new Uint8Array(6).fill(0xff);

function frame(to: Uint8Array, from: Uint8Array, length = 60, rest: readonly number[] = []): Frame {
  const head = new Uint8Array(Math.min(length, 256));
  head.set(to, 0);
  head.set(from, 6);
  head.set(rest, 12);
  return { head, fragments: length > 256 ? [new Uint8Array(length - 256)] : [], length };
}

class Station {
  readonly end: LinkEnd;
  readonly received: Frame[] = [];
  full = false;
  rooms = 0;

  constructor(bridge: LearningSwitch, name: string, address?: string) {
    const [end, other] = LinkEnd.pair();
    this.end = end;
    end.attach({
      receive: (got) => {
        if (this.full) return false;
        this.received.push(got);
        return true;
      },
      room: () => void this.rooms++,
    });
    bridge.plug(other, { name, mac: address });
  }
}

function bridge(count: number, given?: Given) {
  const timers = new ManualTimers();
  const made = new LearningSwitch(
    timers,
    given ? { guarded: true, guardFor: (port) => guardFor(port.mac, given) } : {},
  );
  const stations = Array.from({ length: count }, (_, i) => new Station(made, `vif${i + 1}.0`, given && macText(i + 1)));
  return { timers, bridge: made, stations, counts: () => stations.map(({ received }) => received.length) };
}

describe('the switch', () => {
  it('sends to all what it does not know, and to one what it has learnt', () => {
    const { stations, counts } = bridge(3);
    const [one, two] = stations;
    one?.end.send(frame(mac(2), mac(1)));
    assert.deepEqual(counts(), [0, 1, 1]);
    two?.end.send(frame(mac(1), mac(2)));
    one?.end.send(frame(mac(2), mac(1)));
    assert.deepEqual(counts(), [1, 2, 1]);
    one?.end.send(frame(mac(1), mac(1)));
    assert.deepEqual(counts(), [1, 2, 1], 'nothing comes back to where it came from');
  });

  it('passes a large segment whole, with what is still to be done to it', () => {
    const { stations } = bridge(2);
    const large: Frame = {
      ...frame(broadcast, mac(1), 60_000),
      checksum: { start: 34, offset: 16 },
      segmentation: { type: 'tcpv4', size: 1448 },
    };
    stations[0]?.end.send(large);
    assert.equal(stations[1]?.received[0], large);
  });

  it('forgets an address after five minutes, and follows one that moves', () => {
    const { stations, counts, timers } = bridge(3);
    stations[1]?.end.send(frame(broadcast, mac(2)));
    timers.pass(301_000);
    stations[0]?.end.send(frame(mac(2), mac(1)));
    assert.deepEqual(counts(), [1, 1, 2]);
    stations[2]?.end.send(frame(mac(1), mac(2)));
    stations[0]?.end.send(frame(mac(2), mac(1)));
    assert.deepEqual(counts(), [2, 1, 3]);
  });

  it('holds back the sender while the receiver is full, and tells when there is room', () => {
    const { stations } = bridge(2);
    const [one, two] = stations as [Station, Station];
    two.end.send(frame(broadcast, mac(2)));
    two.full = true;
    assert.equal(one.end.send(frame(mac(2), mac(1))), false);
    assert.equal(one.end.send(frame(mac(2), mac(1))), false);
    two.full = false;
    two.end.ready();
    assert.equal(one.rooms, 1);
    assert.equal(one.end.send(frame(mac(2), mac(1))), true);
  });

  it('does not let a receiver that takes nothing hold back others for long', () => {
    const { stations, timers } = bridge(2);
    const [one, two] = stations as [Station, Station];
    two.end.send(frame(broadcast, mac(2)));
    two.full = true;
    assert.equal(one.end.send(frame(mac(2), mac(1))), false);
    timers.pass(500);
    assert.equal(one.rooms, 1, 'it may go on');
    assert.equal(one.end.send(frame(mac(2), mac(1))), true, 'what is for the other is dropped now');
    two.full = false;
    one.end.send(frame(mac(2), mac(1)));
    assert.equal(two.received.length, 1);
  });

  it('never waits with what goes to all', () => {
    const { stations, counts } = bridge(3);
    (stations[1] as Station).full = true;
    assert.equal(stations[0]?.end.send(frame(broadcast, mac(1))), true);
    assert.deepEqual(counts(), [0, 0, 1]);
  });

  it('limits what one port sends to all, and how many addresses it has', () => {
    const { stations, counts, timers } = bridge(3);
    for (let i = 0; i < 100_000; i++) stations[0]?.end.send(frame(mac(500_000 + i), mac(i)));
    assert.deepEqual(counts(), [0, 2000, 2000]);
    timers.pass(1000);
    stations[1]?.end.send(frame(mac(99_999), mac(7_000_000)));
    assert.deepEqual(counts(), [1, 2000, 2000], 'the latest address is known');
    stations[1]?.end.send(frame(mac(1), mac(7_000_000)));
    assert.deepEqual(counts(), [2, 2000, 2001], 'the first is not');
  });

  it('forgets a port that is unplugged', () => {
    const { stations, counts, bridge: made } = bridge(3);
    stations[1]?.end.send(frame(broadcast, mac(2)));
    stations[1]?.end.close();
    stations[0]?.end.send(frame(mac(2), mac(1)));
    assert.deepEqual(counts(), [1, 0, 2]);
    assert.deepEqual(
      made.ports.map(({ name }) => name),
      ['vif1.0', 'vif3.0'],
    );
  });

  it('keeps working whatever is sent', () => {
    const action = fc.record({
      from: fc.nat(3),
      to: fc.nat(12),
      source: fc.nat(12),
      toggle: fc.boolean(),
      wait: fc.nat(400),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const { stations, timers } = bridge(4);
        for (const { from, to, source, toggle, wait } of actions) {
          const station = stations[from];
          if (toggle && station) {
            station.full = !station.full;
            if (!station.full) station.end.ready();
          }
          station?.end.send(frame(to === 0 ? broadcast : mac(to), mac(source)));
          timers.pass(wait);
        }
        for (const station of stations) {
          station.full = false;
          station.end.ready();
          station.received.length = 0;
        }
        timers.pass(1000);
        stations.forEach((station, i) => station.end.send(frame(broadcast, mac(100 + i))));
        assert.deepEqual(
          stations.map(({ received }) => received.length),
          [3, 3, 3, 3],
        );
      }),
    );
  });
});

describe('a guarded port', () => {
  const own = parseIp('10.0.2.15') ?? assert.fail();
  const other = parseIp('10.0.2.16') ?? assert.fail();
  const sends = (head: Frame): boolean => {
    const { stations } = bridge(2, () => [own]);
    stations[0]?.end.send(head);
    return stations[1]?.received.length === 1;
  };
  const me = parseMac(macText(1)) ?? assert.fail();
  const ipv4 = (source: Uint8Array, ports: readonly number[] = [0, 1, 0, 2]): Frame =>
    frame(broadcast, me, 60, [8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, ...source, 1, 2, 3, 4, ...ports]);
  const arp = (hardware: Uint8Array, sender: Uint8Array): Frame =>
    frame(broadcast, me, 60, [8, 6, 0, 1, 8, 0, 6, 4, 0, 2, ...hardware, ...sender, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
  const advertisement = (target: readonly number[]): Frame =>
    frame(broadcast, me, 86, [
      0x86,
      0xdd,
      0x60,
      0,
      0,
      0,
      0,
      32,
      58,
      255,
      ...linkLocal,
      ...new Array<number>(16).fill(1),
      136,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...target,
    ]);
  const linkLocal = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x16, 0x3e, 0xff, 0xfe, 0, 0, 1];

  it('lets through what comes from its own addresses', () => {
    assert.deepEqual([ipv4(own), arp(me, own), arp(me, new Uint8Array(4)), advertisement(linkLocal)].map(sends), [
      true,
      true,
      true,
      true,
    ]);
    assert.equal(sends(ipv4(new Uint8Array(4), [0, 68, 0, 67])), true, 'asking for an address');
  });

  it("keeps out what pretends to come from somebody else's", () => {
    const wrong = [
      frame(broadcast, mac(7)),
      ipv4(other),
      arp(me, other),
      arp(mac(7), own),
      ipv4(new Uint8Array(4)),
      advertisement(new Array<number>(16).fill(2)),
      frame(broadcast, me, 60, [0x81, 0, 0, 1, 8, 0]),
    ];
    assert.deepEqual(
      wrong.map(sends),
      wrong.map(() => false),
    );
  });
});
