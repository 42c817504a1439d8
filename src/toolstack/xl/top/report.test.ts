import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DomainStatistics, HostStatistics } from '../../daemon/statistics-protocol.ts';
import { columns, type Sample } from './columns.ts';
import { domainLines, NameWidth, plain, sorted, summaryLines, type View } from './report.ts';

const usual: View = {
  vcpus: false,
  networks: false,
  disks: false,
  repeatHeader: false,
  fullName: false,
  sort: 0,
  skip: 0,
};

const domain: DomainStatistics = {
  domid: 0,
  name: 'Domain-0',
  running: false,
  blocked: false,
  paused: false,
  shutdown: false,
  dying: false,
  shutdownReason: 0,
  cpuTimeNs: 0,
  memKiB: 1048576,
  maxMemKiB: 1048576,
  vcpus: [{ online: true, cpuTimeNs: 48.9e9 }],
  nics: [],
  disks: [],
};
const zero: DomainStatistics = { ...domain, running: true, cpuTimeNs: 48.9e9 };
const guest: DomainStatistics = {
  ...domain,
  domid: 1,
  name: 'guest0',
  blocked: true,
  cpuTimeNs: 17.7e9,
  memKiB: 131072,
  maxMemKiB: 132096,
  vcpus: [
    { online: true, cpuTimeNs: 11.6e9 },
    { online: true, cpuTimeNs: 6.1e9 },
  ],
  nics: [
    {
      devid: 0,
      fromGuest: { bytes: 165761, packets: 175, dropped: 0 },
      toGuest: { bytes: 2268963, packets: 228, dropped: 0 },
    },
  ],
  disks: [{ devid: 51712, readRequests: 1, writeRequests: 0, readSectors: 8, writeSectors: 0 }],
};
const host: HostStatistics = {
  xenVersion: '4.17.7',
  nrCpus: 1,
  cpuKhz: 2445423,
  totalKiB: 2096624,
  freeKiB: 893268,
  domains: [zero, guest],
};

const first: Sample = { host, before: undefined, secondsBetween: 0 };
const text = (sample: Sample, view: Partial<View> = {}): string[] =>
  plain(domainLines(sample, { ...usual, ...view }, new NameWidth()))
    .trimEnd()
    .split('\n');

// What xentop 4.17.7 printed of the same numbers, on real Xen.
const recorded = {
  head: '      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID',
  zero: '  Domain-0 -----r         48    0.0    1048576   50.0    1048576      50.0     1    0        0        0    0        0        0        0          0          0    0',
  zeroVcpus: 'VCPUs(sec):   0:         48s',
  guest:
    '    guest0 --b---         17    0.0     131072    6.3     132096       6.3     2    1     2215      161    1        0        1        0          8          0    0',
  guestVcpus: 'VCPUs(sec):   0:         11s  1:          6s',
  guestNet:
    'Net0 RX:   165761bytes      175pkts        0err        0drop  TX:  2268963bytes      228pkts        0err        0drop',
  guestDisk:
    'VBD BlkBack 51712 [ca: 0]  OO:        0   RD:        1   WR:        0   RSECT:          8   WSECT:          0',
  summary: [
    'xentop - 21:25:00   Xen 4.17.7',
    '2 domains: 1 running, 1 blocked, 0 paused, 0 crashed, 0 dying, 0 shutdown',
    'Mem: 2096624k total, 1203356k used, 893268k free    CPUs: 1 @ 2445MHz',
  ],
};

describe("xentop's batch mode", () => {
  it('prints what the original prints of the same numbers', () => {
    assert.deepEqual(text(first), [recorded.head, recorded.zero, recorded.guest]);
    assert.deepEqual(text(first, { vcpus: true, networks: true, disks: true }), [
      recorded.head,
      recorded.zero,
      recorded.zeroVcpus,
      recorded.guest,
      recorded.guestVcpus,
      recorded.guestNet,
      recorded.guestDisk,
    ]);
    assert.deepEqual(text(first, { repeatHeader: true }), [
      recorded.head,
      recorded.zero,
      recorded.head,
      recorded.guest,
    ]);
    assert.deepEqual(
      plain(summaryLines(host, new Date(2026, 10, 26, 21, 25, 0)))
        .trimEnd()
        .split('\n'),
      recorded.summary,
    );
  });

  it('takes the share of a processor from two samples', () => {
    const busy = { ...guest, cpuTimeNs: guest.cpuTimeNs + 1.5e9 };
    const next = { host: { ...host, domains: [zero, busy] }, before: host, secondsBetween: 3 };
    assert.match(text(next)[2] ?? '', /^ {4}guest0 --b--- {9}19 {3}50\.0 /);
    const fresh = { host: { ...host, domains: [zero, { ...busy, domid: 2 }] }, before: host, secondsBetween: 3 };
    assert.match(text(fresh)[2] ?? '', / 19 {4}0\.0 /);
  });

  it('cuts long names, or makes their column wide, and others for large numbers', () => {
    const large: DomainStatistics = {
      ...guest,
      name: 'averylongdomainname',
      maxMemKiB: null,
      nics: [
        {
          devid: 0,
          fromGuest: guest.nics[0]?.fromGuest ?? assert.fail(),
          toGuest: { bytes: 2 ** 50, packets: 1, dropped: 0 },
        },
      ],
      disks: [
        { devid: 268439552, readRequests: 999_999_999, writeRequests: 0, readSectors: 0, writeSectors: 12_345_678_901 },
      ],
    };
    const sample = { ...first, host: { ...host, domains: [zero, large] } };
    const cut = text(sample)[1] ?? '';
    assert.match(cut, /^averylongd --b---/);
    assert.match(cut, / {3}no limit {7}n\/a {5}2 {4}1 1099511627776 {6}161 /);
    assert.match(cut, /    1        0  999999999        0          0 12345678901    0$/);
    assert.equal(text(sample)[0]?.length, cut.length);
    const whole = text(sample, { fullName: true });
    assert.match(whole[1] ?? '', /^averylongdomainname --b---/);
    assert.match(whole[2] ?? '', /^ {11}Domain-0 /);
    assert.match(text(sample, { disks: true })[2] ?? '', /^VBD BlkBack 268439552 \[100010: 0\]  OO:/);
  });

  it('sorts by each column, by name at first', () => {
    const dying = { ...guest, domid: 3, name: 'Alpha', dying: true, memKiB: 1 };
    const all = { ...first, host: { ...host, domains: [zero, guest, dying] } };
    const names = (sort: number): string =>
      sorted(all, { sort })
        .map(({ name }) => name)
        .join(' ');
    assert.equal(names(0), 'Alpha Domain-0 guest0');
    assert.equal(names(1), 'Alpha guest0 Domain-0');
    assert.equal(names(columns.findIndex(({ title }) => title === 'MEM(k)')), 'Domain-0 guest0 Alpha');
    assert.equal(names(columns.findIndex(({ title }) => title === 'NETRX(k)')), 'guest0 Alpha Domain-0');
    for (let sort = 0; sort < columns.length; sort++) assert.equal(sorted(all, { sort }).length, 3);
  });

  it('tells crashed domains from those that were shut down, and breaks the line of many vCPUs', () => {
    const state = (more: Partial<DomainStatistics>): string | undefined =>
      text({ ...first, host: { ...host, domains: [{ ...guest, blocked: false, ...more }] } })[1]?.split(/ +/)[2];
    assert.equal(state({ shutdown: true, shutdownReason: 3 }), '---c--');
    assert.equal(state({ shutdown: true, shutdownReason: 0, paused: true }), '-s--p-');
    const vcpus = Array.from({ length: 7 }, (_, i) => ({ online: i !== 1, cpuTimeNs: i * 1e9 }));
    const many = text({ ...first, host: { ...host, domains: [{ ...guest, vcpus }] } }, { vcpus: true });
    assert.deepEqual(many.slice(2), [
      'VCPUs(sec):   0:          0s  2:          2s  3:          3s  4:          4s',
      '          5:          5s  6:          6s',
    ]);
  });
});
