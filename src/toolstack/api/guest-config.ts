/** What a guest is made of. Members have the names and the meaning of `xl.cfg(5)`, in TypeScript's spelling. */

import type { EgressRules } from '../../dom0/net/egress/egress-rules.ts';

export type {
  AddressRule,
  DomainRule,
  EgressRule,
  EgressRules,
  PortRange,
} from '../../dom0/net/egress/egress-rules.ts';

/** A disk of a guest, as in `disk = [ … ]`. */
export interface DiskConfig {
  /** The image, or a block device of the host. */
  readonly target: string | URL;
  /** As the guest knows it, `xvda`; by default the first that is free. */
  readonly vdev?: string;
  /** Default `raw`. */
  readonly format?: 'raw' | 'qcow2' | 'vhd';
  /** The guest cannot write to it. Default: it can. */
  readonly readOnly?: boolean;
}

/** A network interface of a guest, as in `vif = [ … ]`. */
export interface NicConfig {
  /** Default `xenbr0`, which leads out by NAT. */
  readonly bridge?: string;
  /** `00:16:3e:xx:xx:xx`; by default one that is made up. */
  readonly mac?: string;
  /** Addresses that the guest has, and no others. */
  readonly ip?: string;
  /** The most that it may send, `10Mb/s`. */
  readonly rate?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** What it may reach, by names, addresses and ports. Default: all that the host reaches. */
  readonly egress?: EgressRules;
}

/** A console of a guest beside the first, as in `channel = [ … ]`. The guest's programs find it as `/dev/hvc1` and so on; `Guest.channel` is the other end. */
export interface ChannelConfig {
  /** The guest's programs can find it by this in xenstore as well. */
  readonly name: string;
  /** The path of a unix socket, each of whose connections carries it as well. Default: none. */
  readonly socket?: string | URL;
}

/** What becomes of a domain that has ended by itself, in xl's words. `restart` makes it again: that is how a guest reboots. */
export type EndAction = 'destroy' | 'restart' | 'rename-restart' | 'preserve' | 'coredump-destroy' | 'coredump-restart';

/** A guest in typed members. */
export interface GuestConfig {
  /** Of its own in this host; by default one is made up. */
  readonly name?: string;
  /** By default one is made up. */
  readonly uuid?: string;
  /** The kernel's file. Without one it is taken from the first disk. */
  readonly kernel?: string | URL;
  /** The ramdisk's file. Default: none. */
  readonly ramdisk?: string | URL;
  /** The kernel's command line. */
  readonly cmdline?: string;
  /** MiB at the beginning. Default 32, as xl. */
  readonly memory?: number;
  /** MiB that it can be given later. Default: `memory`. */
  readonly maxMemory?: number;
  /** Processors at the beginning. Default 1. */
  readonly vcpus?: number;
  /** Processors that it can be given later. Default: `vcpus`. */
  readonly maxVcpus?: number;
  /** Processors of the host that it may run on, `0-1` or `all,^0`. */
  readonly cpus?: string;
  /** Its share where processors are short; 256 is usual. */
  readonly cpuWeight?: number;
  /** The most of the host's processors that it may use, in percent of one; 0: no limit. */
  readonly cpuCap?: number;
  /** Default: none. */
  readonly disks?: readonly DiskConfig[];
  /**
   * Default: none. `nat`: one interface that leads out by NAT. `sandbox`: one that reaches nothing; for one that reaches what is named,
   * `{ egress: { default: 'deny', allow: [{ domain: 'deb.debian.org' }] } }`.
   */
  readonly network?: 'none' | 'nat' | 'sandbox' | NicConfig | readonly NicConfig[];
  /** Further consoles, numbered from 1. Default: none. */
  readonly channels?: readonly ChannelConfig[];
  /** It has an agent, by which `exec` and `files` work; docs/agent.md says how a guest comes by one. Default false. */
  readonly agent?: boolean;
  /** Default `destroy`. */
  readonly onPoweroff?: EndAction;
  /** Default `restart`. */
  readonly onReboot?: EndAction;
  /** Default `destroy`. */
  readonly onCrash?: EndAction;
  /** Default `destroy`. */
  readonly onWatchdog?: EndAction;
  /** Milliseconds after which it is destroyed, wherever it is, at most 24 days. Default, and `Infinity`: no limit. */
  readonly timeLimit?: number;
  /** Any other keys of `xl.cfg`, under their own names. */
  readonly options?: Readonly<Record<string, string | number | readonly string[]>>;
}

/** Typed members, or the text or a file of `xl.cfg`, or both: typed members then stand in place of what the text says. */
export interface GuestSource extends GuestConfig {
  /** The path of a file in the syntax of `xl.cfg`. */
  readonly file?: string | URL;
  /** Text in the syntax of `xl.cfg`. */
  readonly text?: string;
}
