/**
 * The few calls of the C library that a tap device needs and Node has no module for, by node:ffi. That is experimental in Node 26 and prints so once, hence it is
 * loaded when a tap is opened and not before. Linux only; numbers are those of x86-64 and arm64.
 */

/** Requests of include/uapi/linux/if_tun.h. */
const TUNSETIFF = 0x400454can;
const TUNSETOFFLOAD = 0x400454d0n;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 1n;
const TUN_F_TSO4 = 2n;
const TUN_F_TSO6 = 4n;

/** struct ifreq and its name (include/uapi/linux/if.h). */
const IFREQ = 40;
const IFNAMSIZ = 16;

/** struct pollfd of poll(2), and the event "something to read". */
const POLLFD = 8;
const POLLIN = 1;

type Library = ReturnType<typeof load>;

let loaded: Library | undefined;

function load() {
  const { dlopen } = process.getBuiltinModule('node:ffi');
  // ioctl(2) with a buffer or with a number as its last argument.
  const { functions } = dlopen('libc.so.6', {
    ioctl: { arguments: ['i32', 'u64', 'buffer'], return: 'i32' },
    poll: { arguments: ['buffer', 'u64', 'i32'], return: 'i32' },
  });
  const withNumber = dlopen('libc.so.6', { ioctl: { arguments: ['i32', 'u64', 'u64'], return: 'i32' } });
  return { ...functions, ioctlNumber: withNumber.functions.ioctl };
}

/** Makes the open /dev/net/tun the tap device of this name, with offloads. Throws an Error that says why not. */
export function becomeTap(fd: number, name: string): void {
  const { ioctl, ioctlNumber } = (loaded ??= load());
  const request = Buffer.alloc(IFREQ);
  request.write(name, 0, IFNAMSIZ - 1, 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFNAMSIZ);
  if (ioctl(fd, TUNSETIFF, request) < 0) throw new Error('the system refuses it; that takes CAP_NET_ADMIN');
  if (ioctlNumber(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
    throw new Error('the device knows no offloads');
}

/** Blocks the thread until there is something to read, or so long. */
export function waitReadable(fd: number, milliseconds: number): boolean {
  const { poll } = (loaded ??= load());
  const entry = Buffer.alloc(POLLFD);
  entry.writeInt32LE(fd, 0);
  entry.writeInt16LE(POLLIN, 4);
  return poll(entry, 1n, milliseconds) > 0;
}
