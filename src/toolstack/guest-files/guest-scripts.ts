/** The shell scripts of the guest's first root. They run under busybox's ash. */

/** How the guest's shell asks for a command: what a program that types into the console waits for. */
export const GUEST_PROMPT = 'xenolith:';

/**
 * On the kernel's command line: nothing that is typed is echoed, and the kernel says no more than its last words once there is a
 * shell. ash does not edit lines then, and asks the terminal nothing, so a program that feeds commands reads their output and the
 * prompts, and nothing else.
 */
export const PLAIN_CONSOLE = 'xenolith.console=plain';

/**
 * Sets up, and leaves process 1 to busybox's init: it takes the signals that busybox's poweroff, halt and reboot send. A shell could not start
 * the console's shell beside itself: what a shell starts with `&` ignores Ctrl-C for ever (POSIX, "Signals and Error Handling").
 */
export const initScript = `#!/bin/busybox sh
# Made by Xenolith: a root file system in memory with a shell on the console.
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root TERM="\${TERM:-vt100}"

busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
busybox mount -t tmpfs tmpfs /run
busybox mount -t tmpfs tmpfs /tmp
busybox --install -s /bin
hostname xenolith
ip link set lo up 2>/dev/null || ifconfig lo up

# Each may be built in, or not there at all.
for module in xen-evtchn xen-privcmd xenfs xen-blkfront xen-netfront af_packet; do
  modprobe -q "$module" 2>/dev/null
done
[ -d /proc/xen ] && mount -t xenfs xenfs /proc/xen 2>/dev/null
[ -x /etc/rc.local ] && /etc/rc.local

exec busybox init
`;

/** /etc/inittab: the console's shell comes again when it ends. The agent, at `agent`, ends by itself in a domain without its channel. */
export function inittab(agent: string | undefined): string {
  const once = agent === undefined ? '' : `::once:${agent}\n`;
  return `${once}::respawn:/sbin/console-shell\n::respawn:/bin/uevent /sbin/hotplug\n`;
}

/**
 * /sbin/hotplug, run for each event of a device. Linux makes a vCPU present when xenstore says so, and leaves it to others to take it online
 * (drivers/xen/cpu_hotplug.c), which distributions do by a rule of udev.
 */
export const hotplugScript = `#!/bin/busybox sh
[ "$ACTION $SUBSYSTEM" = 'add cpu' ] || exit 0
# It is present a moment after it is there.
for try in 1 2 3 4 5; do
  echo 1 >"/sys$DEVPATH/online" && break
  sleep 1
done 2>/dev/null
`;

/** /sbin/console-shell */
export const consoleScript = `#!/bin/busybox sh
# A console has no size of its own.
stty cols 80 rows 24 2>/dev/null
case " $(cat /proc/cmdline) " in
  *" ${PLAIN_CONSOLE} "*)
    stty -echo 2>/dev/null
    # What a command prints is not mixed with what the kernel says, but for its last words.
    echo 1 >/proc/sys/kernel/printk
    ;;
  *) [ -r /etc/motd ] && cat /etc/motd ;;
esac
export HOME=/root ENV=/etc/shell PS1='${GUEST_PROMPT}\\w\\$ '
cd /root
# The kernel's first console becomes the controlling terminal, so that ^C and job control work.
exec cttyhack sh
`;

/** /etc/shell, read by each interactive shell. busybox would run its own poweroff, which has init wait two seconds for services to stop. */
export const shellAliases = `alias poweroff=/sbin/poweroff halt=/sbin/halt reboot=/sbin/reboot\n`;

/** /sbin/poweroff, halt, reboot: at once, there is no service to stop. */
export function stopScript(action: 'poweroff' | 'halt' | 'reboot'): string {
  return `#!/bin/busybox sh
busybox sync
busybox umount -a -r 2>/dev/null
exec busybox ${action} -f
`;
}

export function motd(release: string): string {
  return `Linux ${release} as a Xen domain. "poweroff" ends it.\n`;
}
