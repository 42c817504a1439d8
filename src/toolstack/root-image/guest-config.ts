/** The configuration files of the guest: all that makes Debian's packages the system of a Xen domain. */
import { AGENT_PATH } from '../guest-files/agent.ts';
import type { DebianSource } from '../guest-files/apt.ts';
import { GUEST_PROMPT, PLAIN_CONSOLE } from '../guest-files/guest-scripts.ts';
import type { RootImageOptions } from './options.ts';

export interface GuestFile {
  readonly content: string;
  readonly mode?: number;
}

/** Every image has these, and with them all that is Essential. */
export const basePackages = [
  // Instead of the program that would move files into /usr: here they are unpacked there.
  'usr-is-merged',
  'apt',
  'ca-certificates',
  'debian-archive-keyring',
  'dbus',
  'e2fsprogs',
  'initramfs-tools',
  'iproute2',
  'iputils-ping',
  'kmod',
  'less',
  'netbase',
  'openssh-server',
  'procps',
  'systemd-resolved',
  'systemd-sysv',
  'tzdata',
  'udev',
] as const;

const SSH_KEY = '/etc/ssh/ssh_host_ed25519_key';

/** By path. `uuid` is the file system's. */
export function guestConfig(
  options: RootImageOptions,
  uuid: string,
  sources: readonly DebianSource[],
): ReadonlyMap<string, GuestFile> {
  const { hostname, sshKeys, rootPassword } = options;
  const files = new Map<string, GuestFile>([
    ['etc/hostname', { content: `${hostname}\n` }],
    [
      'etc/hosts',
      { content: `127.0.0.1 localhost\n127.0.1.1 ${hostname}\n::1 localhost ip6-localhost ip6-loopback\n` },
    ],
    ['etc/fstab', { content: `UUID=${uuid} / ext4 errors=remount-ro,x-systemd.growfs 0 1\n` }],
    ['etc/default/locale', { content: 'LANG=C.UTF-8\n' }],
    ['etc/apt/sources.list', { content: '# See sources.list.d.\n' }],
    ['etc/apt/sources.list.d/debian.sources', { content: sources.map(stanza).join('\n') }],
    ['etc/profile.d/console.sh', { content: consoleProfile }],
    ['etc/systemd/system/serial-getty@hvc0.service', { content: consoleLogin(rootPassword === undefined) }],
    ['etc/systemd/system/xenolith-agent.service', { content: agentService }],
    ['etc/systemd/system.conf.d/patience.conf', { content: patience }],
    ['etc/systemd/network/80-dhcp.network', { content: network }],
    ['etc/udev/rules.d/40-vcpus.rules', { content: vcpuRule }],
    // dpkg keeps to this for later packages, too: what a guest of this kind never shows.
    ['etc/dpkg/dpkg.cfg.d/no-documentation', { content: noDocumentation }],
    // Another one is made at the first boot: copies of an image are different machines.
    ['etc/systemd/system/ssh.service.d/host-key.conf', { content: hostKey }],
    ['etc/initramfs-tools/conf.d/xen', { content: 'MODULES=list\nCOMPRESS=gzip\nRESUME=none\n' }],
    ['usr/share/initramfs-tools/modules.d/xen', { content: 'xen-blkfront\nxen-netfront\next4\ncrc32c_generic\n' }],
    ['boot/grub/grub.cfg', { content: grubCfg(uuid) }],
  ]);
  if (sshKeys.length > 0)
    files.set('root/.ssh/authorized_keys', { content: sshKeys.map((key) => `${key}\n`).join(''), mode: 0o600 });
  if (rootPassword !== undefined)
    files.set('etc/ssh/sshd_config.d/root-password.conf', { content: 'PermitRootLogin yes\n' });
  return files;
}

function stanza({ uri, suite, components }: DebianSource): string {
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  return `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: ${components.join(' ')}\nSigned-By: ${keyring}\n`;
}

/** A console that a program types into: what `npm start` does when its standard input is no terminal. */
const consoleProfile = `if [ "$(tty)" = /dev/hvc0 ]; then
  # A console has no size of its own.
  stty cols 80 rows 24
  case " $(cat /proc/cmdline) " in
    *" ${PLAIN_CONSOLE} "*)
      stty -echo
      # What a command prints is not mixed with what the kernel says, but for its last words.
      dmesg -n 1
      export TERM=dumb PAGER=cat SYSTEMD_PAGER=cat
      set +o emacs +o vi
      PS1='${GUEST_PROMPT}\\w\\$ '
      ;;
  esac
fi
`;

const network = `[Match]
Name=eth* en*

[Network]
DHCP=yes
`;

/** Linux makes a vCPU present when xenstore says so, and leaves it to others to take it online (drivers/xen/cpu_hotplug.c). */
const vcpuRule = `SUBSYSTEM=="cpu", ACTION=="add", TEST=="online", ATTR{online}=="0", ATTR{online}="1"\n`;

const noDocumentation = `path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
`;

/** An RSA key, which ssh-keygen -A would make as well, takes an emulated processor long. The test of the configuration needs a key, so it comes second. */
const hostKey = `[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -e ${SSH_KEY} || ssh-keygen -q -t ed25519 -N "" -f ${SSH_KEY}'
ExecStartPre=/usr/sbin/sshd -t
`;

/**
 * In place of systemd's own unit for serial lines, which waits for udev to know of the device, and gives up when the machine is slow.
 */
function consoleLogin(automatic: boolean): string {
  const login = automatic ? "-o '-p -f -- \\\\u' --autologin root" : "-o '-p -- \\\\u'";
  return `[Unit]
Description=Login on the console of the domain
After=systemd-user-sessions.service getty-pre.target
Before=getty.target
IgnoreOnIsolate=yes
ConditionPathExists=/dev/hvc0

[Service]
ExecStart=-/sbin/agetty ${login} --keep-baud 115200 hvc0 vt220
Type=idle
Restart=always
UtmpIdentifier=hvc0
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/hvc0
TTYReset=yes
TTYVHangup=yes
IgnoreSIGPIPE=no
SendSIGHUP=yes

[Install]
WantedBy=getty.target
`;
}

/** It ends at once, and well, in a domain without its channel. */
const agentService = `[Unit]
Description=Agent for the host of this domain
ConditionFileIsExecutable=/${AGENT_PATH}

[Service]
ExecStart=/${AGENT_PATH}
Environment=HOME=/root
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;

/** systemd's patience is made for processors that are not emulated on a busy machine. */
const patience = `[Manager]
DefaultTimeoutStartSec=15min
DefaultTimeoutStopSec=5min
DefaultDeviceTimeoutSec=15min
`;

/** Read by the bootloader on the host. The links point at the newest kernel, whatever package it came in. */
function grubCfg(uuid: string): string {
  return `# Read by the host's pygrub when the domain is built; GRUB is not installed in this system.
set default=0
set timeout=0
menuentry 'Debian GNU/Linux' --id debian {
  linux /vmlinuz root=UUID=${uuid} ro console=hvc0
  initrd /initrd.img
}
menuentry 'Debian GNU/Linux, the kernel before' --id old {
  linux /vmlinuz.old root=UUID=${uuid} ro console=hvc0
  initrd /initrd.img.old
}
menuentry 'Debian GNU/Linux, rescue' --id rescue {
  linux /vmlinuz root=UUID=${uuid} ro console=hvc0 single
  initrd /initrd.img
}
`;
}
