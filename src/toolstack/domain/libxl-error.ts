/** What goes wrong in handling domains, as libxl numbers and words it. */
import { Errno } from '../../abi/errno.ts';
import type { HypercallError } from '../../hypervisor/control.ts';
import { XenError } from '../xen-error.ts';

/** xen/tools/libs/light/libxl_types.idl, "error". */
export const libxlErrors = {
  NONSPECIFIC: -1,
  FAIL: -3,
  NOMEM: -5,
  INVAL: -6,
  TIMEDOUT: -9,
  NOPARAVIRT: -10,
  NOT_READY: -11,
  DEVICE_EXISTS: -17,
  DOMAIN_NOTFOUND: -21,
} as const;
export type LibxlErrorName = keyof typeof libxlErrors;

/** Positions in libxl's sources as Debian's 4.17 has them; scripts and people search for these lines. */
export const sourceLines = {
  libxl__domain_rename: 'libxl_domain.c:81',
  libxl_domain_pause: 'libxl_domain.c:587',
  libxl_domain_unpause: 'libxl_domain.c:701',
  pvcontrol_cb: 'libxl_domain.c:854',
  domain_destroy_cb: 'libxl_domain.c:1064',
  domain_destroy_callback: 'libxl_domain.c:1137',
  libxl__destroy_domid: 'libxl_domain.c:1183',
  initiate_domain_create: 'libxl_create.c:1296',
  libxl__domain_config_setdefault: 'libxl_create.c:1134',
  domcreate_rebuild_done: 'libxl_create.c:1640',
  libxl__domain_make: 'libxl_create.c:746',
  libxl__domain_type: 'libxl_dom.c:37',
  libxl__bootloader_run: 'libxl_bootloader.c:427',
  bootloader_finished: 'libxl_bootloader.c:767',
  libxl_report_child_exitstatus: 'libxl_exec.c:117',
  libxl__device_disk_set_backend: 'libxl_device.c:455',
  device_backend_callback: 'libxl_device.c:1181',
  device_hotplug_child_death_cb: 'libxl_device.c:1337',
  device_addrm_aocomplete: 'libxl_device.c:1481',
  device_add_nothing: 'libxl_device.c:1486',
  libxl__device_from_disk: 'libxl_disk.c:214',
  device_disk_add_identifier: 'libxl_disk.c:335',
  device_disk_add: 'libxl_disk.c:343',
  libxl__disk_from_xenstore: 'libxl_disk.c:516',
  libxl__device_add_async: 'libxl_device.c',
  libxl__device_nic_setdefault: 'libxl_nic.c',
  libxl__device_nic_set_devids: 'libxl_nic.c:520',
  libxl__xs_read_mandatory: 'libxl_xshelp.c:206',
  domcreate_attach_devices: 'libxl_create.c:1921',
  libxl_cdrom_insert: 'libxl_disk.c',
  domain_create_disk: 'libxl_create.c:1318',
  domcreate_launch_dm: 'libxl_create.c:1672',
} as const;

/** A function that speaks in several places has a name for each; this is the function's own. */
const functionOf: Readonly<Partial<Record<keyof typeof sourceLines, string>>> = {
  device_add_nothing: 'device_addrm_aocomplete',
  device_disk_add_identifier: 'device_disk_add',
  domain_create_disk: 'initiate_domain_create',
};

export function libxlLine(where: keyof typeof sourceLines, text: string): string {
  return `libxl: error: ${sourceLines[where]}:${functionOf[where] ?? where}: ${text}`;
}

export class LibxlError extends XenError {
  override readonly name = 'LibxlError';
  readonly rc: number;

  constructor(
    code: LibxlErrorName,
    lines: readonly string[],
    message = lines.at(-1) ?? code,
    cause?: unknown,
    hint?: string,
  ) {
    super(message, { lines, cause, ...(hint === undefined ? {} : { hint }) });
    this.rc = libxlErrors[code];
  }
}

/** What libxl says when it cleans up after a creation that failed. */
export function cleanUpLines(domid: number): readonly string[] {
  return [
    libxlLine('libxl__destroy_domid', `Domain ${domid}:Non-existant domain`),
    libxlLine('domain_destroy_callback', `Domain ${domid}:Unable to destroy guest`),
    libxlLine('domain_destroy_cb', `Domain ${domid}:Destruction of domain failed`),
  ];
}

/** A domain number that nobody has, where libxl first looks for the domain's type. */
export function noSuchDomainType(domid: number): LibxlError {
  return new LibxlError('FAIL', [libxlLine('libxl__domain_type', `unable to get domain type for domid=${domid}`)]);
}

/** strerror(3) for what the control interface answers. */
const errorTexts: Readonly<Record<number, string>> = {
  [Errno.EPERM]: 'Operation not permitted',
  [Errno.ESRCH]: 'No such process',
  [Errno.E2BIG]: 'Argument list too long',
  [Errno.ENOMEM]: 'Cannot allocate memory',
  [Errno.EBUSY]: 'Device or resource busy',
  [Errno.EINVAL]: 'Invalid argument',
  [Errno.ENOSPC]: 'No space left on device',
};

export function errorText({ errno, message }: HypercallError): string {
  return errorTexts[errno] ?? message;
}
