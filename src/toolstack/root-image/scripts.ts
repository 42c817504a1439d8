/**
 * The two shell scripts that turn unpacked packages into a system. They are the part of a Debian installer that needs root, and get it from a user
 * namespace: `outside` runs as its root with mounts of its own, `inside` in the new system under fakeroot, which remembers the owners that a single
 * mapped user cannot give. The last step therefore makes the file system in there, too.
 */

/** Where the new system sees what it is made with: a folder that Debian keeps free, with a file system in memory over it. */
export const WORK = '/mnt';
/** Lines of this kind tell how far things are. */
export const STEP_MARK = '@step ';

/** Devices that maintainer scripts use; none of the host's disks is among them. */
const devices = 'null zero full random urandom tty';

/** Arguments: the new system's folder, that of the packages, of fakeroot, of the image, and the inner script. */
export const outside = `set -e
root=$1 packages=$2 fakeroot=$3 output=$4 inside=$5
work=$root${WORK}
# Not open to all, as by default: the kernel guards the devices in such folders (fs.protected_regular).
for place in "$root/dev" "$root/run" "$work"; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
for device in ${devices}; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
# Containers may hide parts of theirs, and then a new one is not allowed.
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
mkdir "$work/packages" "$work/fakeroot" "$work/output" "$work/system"
mount --bind "$packages" "$work/packages"
mount --bind "$fakeroot" "$work/fakeroot"
mount --bind "$output" "$work/output"
# A second view without the mounts: that is what goes onto the disk.
mount --bind "$root" "$work/system"
cp "$inside" "$work/inside"
library=$(cd "$fakeroot" && echo usr/lib/*/libfakeroot/libfakeroot-sysv.so)
exec chroot "$root" ${WORK}/fakeroot/usr/bin/fakeroot-sysv --lib "${WORK}/fakeroot/$library" \\
  --faked ${WORK}/fakeroot/usr/bin/faked-sysv -- /bin/sh ${WORK}/inside
`;

/**
 * Nothing is started while it runs, and there is nobody to answer questions. First all packages are unpacked, then configured; what these two come from could not
 * be configured in order with only themselves there.
 */
export const inside = `set -e
step() { echo "${STEP_MARK}$*"; }
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
mkdir -p /usr/sbin
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
ln -sf mawk /usr/bin/awk
cd ${WORK}/packages

step unpack
dpkg --force-depends --force-unsafe-io --unpack ./*.deb
step configure
dpkg --force-depends --force-unsafe-io --configure base-passwd base-files
# The initramfs is made once, at the end.
INITRD=No dpkg --force-unsafe-io --configure -a
step initramfs
update-initramfs -c -k all
for kernel in /boot/vmlinuz-*; do
  linux-update-symlinks install "\${kernel#/boot/vmlinuz-}" "$kernel"
done
trouble=$(dpkg --audit)
if [ -n "$trouble" ]; then echo "$trouble"; exit 1; fi

step settings
systemctl enable systemd-networkd.service systemd-resolved.service serial-getty@hvc0.service xenolith-agent.service
# There is no screen, and no LVM that could hold a snapshot to check.
systemctl mask getty@tty1.service e2scrub_reap.service e2scrub_all.timer
if [ -n "$ROOT_PASSWORD" ]; then printf 'root:%s\\n' "$ROOT_PASSWORD" | chpasswd; else passwd -l root; fi
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
# What makes one machine different from another comes with its first boot.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
: > /etc/machine-id
rm -f /usr/sbin/policy-rc.d /var/log/*.log /var/log/apt/* /var/cache/apt/*.bin /var/lib/dpkg/*-old
[ ! -d /root/.ssh ] || chmod 700 /root/.ssh
rm -rf /var/cache/debconf/*-old

step filesystem
mke2fs -q -F -t ext4 -L root -U "$UUID" -E "offset=$OFFSET" -d ${WORK}/system ${WORK}/output/image "$SIZE_KIB"k
step done
`;
