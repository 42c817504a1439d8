/**
 * Parameters of Xen that mean nothing here: they are about hardware, or about guests of other types. They are read as Xen reads them, so that a wrong value
 * is told and a right one is not (docs/misc/xen-command-line.pandoc; what has no kind of its own there takes any text).
 */
import type { Parameters } from './parse.ts';

const names = {
  bool:
    'acpi_pstate_strict acpi_skip_timer_override allow_unsafe apicv arat asid async-show-all ats cmos-rtc-probe console_to_ring cpuidle cpuinfo ' +
    'dit dom0_vcpus_pin e820-mtrr-clip e820-verbose force-ept global-pages hap hap_1gb hap_2mb hest_disable hpetbroadcast hvm_fep ' +
    'hvm_port80 invpcid lapic lapic_timer_c2_ok ler mce mce_fb msi mtrr.show mwait-idle noirqbalance nolapic no-real-mode nosmp pcid pku pv-linear-pt ' +
    'pv-shim real-mode ro-hpet sched_smt_power_savings scrub-domheap smt sync_console tdt tickle_one_idle_cpu unrestricted_guest vpid x2apic x2apic_phys ' +
    'xsave noapic altp2m iommu_inclusive_mapping',
  integer:
    'acpi_apic_instance cmci-threshold cpuid_mask_ecx cpuid_mask_edx cpuid_mask_ext_ecx cpuid_mask_ext_edx cpuid_mask_thermal_ecx ' +
    'cpuid_mask_l7s0_eax cpuid_mask_l7s0_ebx cpuid_mask_xsave_eax credit2_balance_over credit2_balance_under credit2_cap_period_ms ' +
    'credit2_load_precision_shift credit2_load_window_shift debug_stack_lines dma_bits gnttab_max_frames gnttab_max_maptrack_frames hardware_dom hvm_debug ' +
    'idle_latency_factor iommu_dev_iotlb_timeout irq_ratelimit irq_vector_map max_gsi_irqs nr_irqs irq-max-guests ple_gap ple_window ' +
    'sched_credit2_migrate_resist sched_credit_tslice_ms sched_ratelimit_us tbuf_size tevt_mask timer_slop vcpu_migration_delay vesa-ram vesa-map ' +
    'vm-notify-window watchdog_timeout',
  size: 'availmem bootscrub_chunk crashinfo_maxaddr highmem-start low_mem_virq_limit serial_tx_buffer xenheap_megabytes',
  text:
    'acpi acpi_sleep apic apic_verbosity argo badpage bootscrub cet clocksource conswitch core_parking cpu_type cpufreq cpuid_mask_cpu ' +
    'crash-debug crash-debug-watchdog crashkernel credit2_runqueue dbgp debugtrace dom0 dom0-cpuid dom0-iommu dom0_ioports_disable dom0_nodes edd ' +
    'edid efi ept extra_guest_irqs flask font gdb gnttab hpet ioapic_ack iommu ivhd ivmd ivrs_ioapic ivrs_hpet low_crashinfo max_cstate ' +
    'mce_verbosity memop-max-order mmcfg mmio-relax nmi numa pci pci-phantom preferred-cstates psr pv pv-l1tf reboot rmrr sched-gran shim_mem smap smep ' +
    'snb_igd_quirk spec-ctrl tboot tsc tsx ucode vga viridian-version vpmu watchdog x2apic-mode xhci xpti xsm',
} as const;

const split = (text: string): readonly string[] => text.split(' ');

export const knownParameters: Parameters = {
  ...Object.fromEntries(split(names.bool).map((name) => [name, { kind: 'bool', set: () => undefined }])),
  ...Object.fromEntries(
    split(names.integer).map((name) => [name, { kind: 'integer', bits: 32, set: () => undefined }] as const),
  ),
  ...Object.fromEntries(split(names.size).map((name) => [name, { kind: 'size', set: () => undefined }])),
  ...Object.fromEntries(split(names.text).map((name) => [name, { kind: 'custom', set: () => 0 }])),
};
