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
  libxl_domain_core_dump: 'libxl_domain.c',
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
  libxl__build_pre: 'libxl_dom.c:350',
  libxl_list_vcpu: 'libxl_domain.c:1667',
  qmp_ev_lock_aquired: 'libxl_qmp.c:1334',
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
  libxl_cpupool_create: 'libxl_cpupool.c:157',
  libxl_cpupool_create_move: 'libxl_cpupool.c:167',
  libxl_cpupool_destroy: 'libxl_cpupool.c:227',
  libxl_cpupool_cpuadd: 'libxl_cpupool.c:302',
  libxl_cpupool_cpuremove: 'libxl_cpupool.c:365',
  libxl_cpupool_movedomain: 'libxl_cpupool.c:437',
  libxl_sched_credit_params_set_slice: 'libxl_sched.c:311',
  libxl_sched_credit_params_set_limit: 'libxl_sched.c:321',
  libxl_sched_credit_params_set_delay: 'libxl_sched.c:326',
  sched_ratelimit_check: 'libxl_sched.c:270',
  sched_credit_domain_set: 'libxl_sched.c:232',
  sched_credit_domain_set_weight: 'libxl_sched.c:238',
  sched_credit_domain_set_cap: 'libxl_sched.c:248',
  sched_credit2_domain_set: 'libxl_sched.c:439',
  sched_credit2_domain_set_weight: 'libxl_sched.c:445',
  sched_credit2_domain_set_cap: 'libxl_sched.c:455',
  sched_rtds_vcpu_set: 'libxl_sched.c:653',
  libxl_vcpu_sched_params_get: 'libxl_sched.c:931',
  libxl__set_vcpuaffinity: 'libxl_sched.c:62',
  libxl_set_memory_target: 'libxl_mem.c:278',
  libxl_set_memory_target_read: 'libxl_mem.c:234',
  libxl_set_memory_target_max: 'libxl_mem.c:251',
  libxl_set_memory_target_dom0: 'libxl_mem.c:287',
  libxl_set_memory_target_limit: 'libxl_mem.c:299',
  libxl_domain_setmaxmem: 'libxl_mem.c:59',
  libxl_domain_setmaxmem_read: 'libxl_mem.c:47',
  libxl_domain_setmaxmem_limit: 'libxl_mem.c:78',
  libxl_set_vcpuonline: 'libxl_domain.c:1863',
  libxl_set_vcpuonline_most: 'libxl_domain.c:1869',
  libxl_send_trigger: 'libxl_domain.c:2207',
  domain_s3_resume_done: 'libxl_domain.c:2162',
  libxl_set_parameters: 'libxl.c:706',
  libxl_vncviewer_exec: 'libxl_console.c:201',
  libxl_device_pci_assignable_list: 'libxl_pci.c:444',
  libxl__device_pci_assignable_add: 'libxl_pci.c:792',
  libxl__device_pci_assignable_remove: 'libxl_pci.c:906',
  libxl__device_pci_add: 'libxl_pci.c:1677',
  do_pci_remove: 'libxl_pci.c:1969',
  libxl__psr_cmt_log_err_msg: 'libxl_psr.c:71',
  libxl__psr_alloc_log_err_msg: 'libxl_psr.c:123',
  libxl__device_usbdev_add: 'libxl_usb.c:1732',
  domain_suspend_common_failed: 'libxl_dom_suspend.c',
  domain_suspend_common_pvcontrol_suspending: 'libxl_dom_suspend.c',
  libxl__xc_domain_save_done: 'libxl_stream_write.c:347',
  libxl__xc_domain_restore_done: 'libxl_stream_read.c:851',
  domain_resume_done: 'libxl_dom_suspend.c:666',
} as const;

/** A function that speaks in several places has a name for each; this is the function's own. */
const functionOf: Readonly<Partial<Record<keyof typeof sourceLines, string>>> = {
  device_add_nothing: 'device_addrm_aocomplete',
  device_disk_add_identifier: 'device_disk_add',
  domain_create_disk: 'initiate_domain_create',
  libxl_cpupool_create_move: 'libxl_cpupool_create',
  libxl_sched_credit_params_set_slice: 'libxl_sched_credit_params_set',
  libxl_sched_credit_params_set_limit: 'libxl_sched_credit_params_set',
  libxl_sched_credit_params_set_delay: 'libxl_sched_credit_params_set',
  sched_credit_domain_set_weight: 'sched_credit_domain_set',
  sched_credit_domain_set_cap: 'sched_credit_domain_set',
  sched_credit2_domain_set_weight: 'sched_credit2_domain_set',
  sched_credit2_domain_set_cap: 'sched_credit2_domain_set',
  libxl_set_memory_target_read: 'libxl_set_memory_target',
  libxl_set_memory_target_max: 'libxl_set_memory_target',
  libxl_set_memory_target_dom0: 'libxl_set_memory_target',
  libxl_set_memory_target_limit: 'libxl_set_memory_target',
  libxl_domain_setmaxmem_read: 'libxl_domain_setmaxmem',
  libxl_domain_setmaxmem_limit: 'libxl_domain_setmaxmem',
  libxl_set_vcpuonline_most: 'libxl_set_vcpuonline',
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
  [Errno.ENOENT]: 'No such file or directory',
  [Errno.ESRCH]: 'No such process',
  [Errno.E2BIG]: 'Argument list too long',
  [Errno.ENOMEM]: 'Cannot allocate memory',
  [Errno.EBUSY]: 'Device or resource busy',
  [Errno.EEXIST]: 'File exists',
  [Errno.EINVAL]: 'Invalid argument',
  [Errno.ENOSPC]: 'No space left on device',
};

export function errorText({ errno, message }: HypercallError): string {
  return errorTexts[errno] ?? message;
}
