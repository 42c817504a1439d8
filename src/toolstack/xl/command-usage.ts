/**
 * What the help texts of xl do not say in a form that programs can read: what a command's arguments are, and options that its help leaves out; and examples. Help,
 * completion and the manual's page come from here and from command-help.json.
 */

/** What an argument is; completion.ts knows what can stand there. */
export type ArgumentKind =
  | 'domain'
  | 'disk'
  | 'nic'
  | 'pool'
  | 'file'
  /** A domain that runs, or the file of a saved one. */
  | 'domain or file'
  | 'command'
  | 'forward'
  /** One of these words. */
  | readonly string[]
  /** Something that only the user knows. */
  | 'other';

export interface CommandUsage {
  /** In their order; the last one again and again when `repeats`. */
  readonly takes: readonly ArgumentKind[];
  readonly repeats?: true;
  /** Beside those in the help text: as getopt has them, `-n`, or `-n VALUE`, `--long`. */
  readonly options?: readonly string[];
  /** It takes no options, not even `-h`. */
  readonly plain?: true;
  /** What the value of an option is, where it can be completed. */
  readonly values?: Readonly<Record<string, ArgumentKind>>;
  /** A command line, and what it does. */
  readonly examples: readonly (readonly [command: string, what: string])[];
}

const domain = { takes: ['domain'] } as const;
const domains = { takes: ['domain'], repeats: true } as const;
const nothing = { takes: [] } as const;
const domainAndOther = { takes: ['domain', 'other'] } as const;
const pciDevice = '0000:03:00.0';

export const commandUsage: Readonly<Record<string, CommandUsage>> = {
  create: {
    takes: ['file', 'other'],
    repeats: true,
    values: { '-f': 'file', '--defconfig': 'file' },
    examples: [
      ['xl create web.cfg', 'Make the domain that web.cfg describes and let it run'],
      ['xl create -c web.cfg', 'The same, at its console; Ctrl-] leaves it'],
      ['xl create web.cfg memory=512 \'name="web2"\'', 'With keys that count instead of those in the file'],
      ['xl create -n web.cfg', 'Only show what xl makes of the file, as JSON'],
    ],
  },
  'config-update': {
    takes: ['domain', 'file', 'other'],
    repeats: true,
    values: { '-f': 'file', '--defconfig': 'file' },
    examples: [['xl config-update web web.cfg', 'What the domain web will be made from when it reboots']],
  },
  list: {
    ...domain,
    examples: [
      ['xl list', 'All domains: number, memory in MiB, vCPUs, state, processor time'],
      ['xl list -v web', 'With UUID and the reason of its shutdown'],
      ["xl list -l web | jq '.[0].config.b_info'", 'Its whole configuration, as JSON'],
    ],
  },
  destroy: { ...domain, examples: [['xl destroy web', 'End the domain at once, as by pulling the plug']] },
  shutdown: {
    ...domain,
    examples: [
      ['xl shutdown web', 'Ask its kernel to shut down'],
      ['xl shutdown -w web', 'And wait until it has'],
      ['xl shutdown -a -w', 'All domains'],
    ],
  },
  reboot: {
    ...domain,
    examples: [
      ['xl reboot web', 'Ask its kernel to reboot'],
      ['xl reboot -a', 'All domains'],
    ],
  },
  'pci-attach': {
    takes: ['domain', 'other', 'other'],
    examples: [[`xl pci-attach web ${pciDevice}`, 'Give a PCI device of the host to the domain']],
  },
  'pci-detach': { ...domainAndOther, examples: [[`xl pci-detach web ${pciDevice}`, 'Take it back']] },
  'pci-list': { ...domain, examples: [['xl pci-list web', 'PCI devices that the domain has']] },
  'pci-assignable-add': {
    takes: ['other'],
    examples: [[`xl pci-assignable-add ${pciDevice}`, 'Make a device ready to be given away']],
  },
  'pci-assignable-remove': {
    takes: ['other'],
    examples: [[`xl pci-assignable-remove -r ${pciDevice}`, 'Give it back to its driver']],
  },
  'pci-assignable-list': { ...nothing, examples: [['xl pci-assignable-list', 'Devices that can be given away']] },
  pause: { ...domain, examples: [['xl pause web', 'Stop its vCPUs; it keeps its memory and devices']] },
  unpause: { ...domain, examples: [['xl unpause web', 'Let them go on, or start after xl create -p']] },
  console: {
    ...domain,
    options: ['-t TYPE', '-n NUMBER', '-e CHARACTER'],
    values: { '-t': ['pv', 'serial', 'vuart'] },
    examples: [
      ['xl console web', 'Its terminal; Ctrl-] leaves'],
      ["printf 'uname -r\\n\\x1d' | xl console web", 'Type from a script, and leave'],
      ['xl console -n 1 web', 'The first of its channels'],
    ],
  },
  vncviewer: {
    ...domain,
    options: ['-a', '--autopass', '--vncviewer-autopass'],
    examples: [['xl vncviewer web', 'Its screen, of domains that have one']],
  },
  save: {
    takes: ['domain', 'file', 'file'],
    examples: [['xl save web web.save', 'Write its memory and state into a file, and end it']],
  },
  migrate: {
    ...domainAndOther,
    values: { '-C': 'file' },
    examples: [['xl migrate web otherhost', 'Move the running domain to another host']],
  },
  restore: {
    takes: ['file', 'file'],
    options: ['-F', '-c'],
    examples: [['xl restore web.save', 'Let it go on from a file that xl save has written']],
  },
  'migrate-receive': {
    ...nothing,
    options: ['-F', '-e', '-d', '-r', '-p'],
    examples: [['xl migrate-receive', 'What xl migrate starts on the other host']],
  },
  'dump-core': {
    takes: ['domain', 'file'],
    examples: [['xl dump-core web web.core', 'Write its memory for a debugger']],
  },
  'cd-insert': {
    takes: ['domain', 'disk', 'file'],
    examples: [['xl cd-insert web hdc /images/setup.iso', 'Put a disc into the drive of an HVM domain']],
  },
  'cd-eject': { takes: ['domain', 'disk'], examples: [['xl cd-eject web hdc', 'Take it out']] },
  'mem-max': {
    ...domainAndOther,
    examples: [['xl mem-max web 512', 'It may have at most 512 MiB, or with t, g, k another unit']],
  },
  'mem-set': {
    ...domainAndOther,
    examples: [
      ['xl mem-set web 256', 'Have its balloon driver use 256 MiB'],
      ['xl mem-set web 1g', 'Or a gigabyte'],
    ],
  },
  'button-press': {
    takes: ['domain', ['power', 'sleep']],
    examples: [['xl button-press web power', 'As the button of a PC']],
  },
  'vcpu-list': {
    ...domains,
    examples: [
      ['xl vcpu-list', 'The vCPUs of all domains: state, processor time, affinity'],
      ['xl vcpu-list web db', 'Of two domains'],
    ],
  },
  'vcpu-pin': {
    takes: ['domain', ['all'], ['all', '-'], ['all', '-']],
    examples: [
      ['xl vcpu-pin web 0 1', 'vCPU 0 runs on processor 1 only'],
      ['xl vcpu-pin web all 0-1 -', 'All vCPUs on 0 and 1; which they like better stays'],
    ],
  },
  'vcpu-set': {
    ...domainAndOther,
    examples: [['xl vcpu-set web 2', 'Two of its vCPUs are online, of those that maxvcpus= names']],
  },
  'vm-list': { ...nothing, examples: [['xl vm-list', 'UUIDs, numbers and names']] },
  info: {
    ...nothing,
    options: ['-n', '--numa'],
    examples: [
      ['xl info', 'The host: processors, memory, version'],
      ['xl info free_memory', 'One value, for scripts'],
      ['xl info -n', 'With the topology'],
    ],
  },
  sharing: { ...domain, examples: [['xl sharing', 'How much memory domains share']] },
  'sched-credit': {
    ...nothing,
    values: { '-d': 'domain', '--domain': 'domain', '-p': 'pool', '--cpupool': 'pool' },
    examples: [
      ['xl sched-credit -d web -w 512 -c 50', 'Twice the usual share, but half a processor at most'],
      ['xl sched-credit -s -t 10', 'Time slices of 10 ms'],
    ],
  },
  'sched-credit2': {
    ...nothing,
    values: { '-d': 'domain', '--domain': 'domain', '-p': 'pool', '--cpupool': 'pool' },
    examples: [
      ['xl sched-credit2', 'Weights and caps of all domains'],
      ['xl sched-credit2 -d web -w 512', 'Twice the usual share'],
      ['xl sched-credit2 -d web -c 50', 'Half a processor at most'],
    ],
  },
  'sched-rtds': {
    ...nothing,
    values: { '-d': 'domain', '--domain': 'domain' },
    examples: [['xl sched-rtds -d web -p 10000 -b 4000', '4 ms of every 10 ms']],
  },
  domid: { ...domain, examples: [['xl domid web', 'Its number']] },
  domname: { takes: ['other'], examples: [['xl domname 3', 'The name of domain 3']] },
  rename: { ...domainAndOther, examples: [['xl rename web web-old', 'Another name for a running domain']] },
  trigger: {
    takes: ['domain', ['nmi', 'reset', 'init', 'power', 'sleep', 's3resume'], 'other'],
    examples: [['xl trigger web nmi', 'A non-maskable interrupt for all of its vCPUs']],
  },
  sysrq: {
    takes: ['domain', 'other'],
    examples: [
      ['xl sysrq web h', "Its kernel's help on these keys, on its console"],
      ['xl sysrq web t', 'Its tasks'],
    ],
  },
  'debug-keys': {
    takes: ['other'],
    examples: [
      ['xl debug-keys h', 'What keys there are; xl dmesg shows it'],
      ['xl debug-keys q', 'What the hypervisor knows of its domains'],
    ],
  },
  'set-parameters': { takes: ['other'], examples: [['xl set-parameters guest_loglvl=all', 'Log more, from now on']] },
  dmesg: {
    ...nothing,
    options: ['--clear'],
    examples: [
      ['xl dmesg', "The hypervisor's log"],
      ['xl dmesg -c', 'And empty it'],
    ],
  },
  top: {
    ...nothing,
    options: [
      ...['-b', '--batch', '-d SECONDS', '--delay=SECONDS', '-i TIMES', '--iterations=TIMES', '-n', '--networks'],
      ...['-x', '--vbds', '-v', '--vcpus', '-r', '--repeat-header', '-f', '--full-name', '-V', '--version'],
    ],
    examples: [
      ['xl top', 'What domains use; S sorts, N, B and V show more, Q leaves'],
      ['xl top -b -i 2 -d 10 -n -x', 'Twice, ten seconds apart, with interfaces and disks'],
    ],
  },
  'network-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [
      ['xl network-attach web bridge=xenbr0', 'Another interface, on the bridge with NAT'],
      ['xl network-attach web mac=00:16:3e:01:02:03 rate=10Mb/s', 'With an address of its own, and not too fast'],
    ],
  },
  'network-list': { ...domains, examples: [['xl network-list web', 'Its interfaces: address, state, rings']] },
  'network-detach': {
    takes: ['domain', 'nic'],
    examples: [
      ['xl network-detach web 1', 'By number'],
      ['xl network-detach web 00:16:3e:01:02:03', 'Or by address'],
    ],
  },
  'channel-list': { ...domains, examples: [['xl channel-list web', 'Consoles beside the first: channel= of xl.cfg']] },
  'block-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [
      ['xl block-attach web /images/data.qcow2,qcow2,xvdb,w', 'A disk for a running domain'],
      ['xl block-attach web format=raw,vdev=xvdc,access=r,target=/images/base.img', 'The same with names'],
    ],
  },
  'block-list': { ...domains, examples: [['xl block-list web', 'Its disks: number, state, ring']] },
  'block-detach': {
    takes: ['domain', 'disk'],
    examples: [
      ['xl block-detach web xvdb', 'Take the disk away when the guest has let go of it'],
      ['xl block-detach -f web xvdb', 'At once'],
    ],
  },
  'vtpm-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [['xl vtpm-attach web backend=vtpm', 'A TPM']],
  },
  'vtpm-list': { ...domains, examples: [['xl vtpm-list web', 'Its TPMs']] },
  'vtpm-detach': { ...domainAndOther, examples: [['xl vtpm-detach web 0', 'Take a TPM away']] },
  'vkb-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [['xl vkb-attach web backend-type=linux', 'A keyboard']],
  },
  'vkb-list': { ...domains, examples: [['xl vkb-list web', 'Its keyboards']] },
  'vkb-detach': { ...domainAndOther, examples: [['xl vkb-detach web 0', 'Take a keyboard away']] },
  'vdispl-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [["xl vdispl-attach web connectors='id0:800x600'", 'A display']],
  },
  'vdispl-list': { ...domains, examples: [['xl vdispl-list web', 'Its displays']] },
  'vdispl-detach': { ...domainAndOther, examples: [['xl vdispl-detach web 0', 'Take a display away']] },
  'vsnd-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [["xl vsnd-attach web 'CARD,short-name=Main'", 'A sound card']],
  },
  'vsnd-list': { ...domains, examples: [['xl vsnd-list web', 'Its sound cards']] },
  'vsnd-detach': { ...domainAndOther, examples: [['xl vsnd-detach web 0', 'Take a sound card away']] },
  uptime: {
    ...domains,
    options: ['-s'],
    examples: [
      ['xl uptime', 'For how long each domain has been there'],
      ['xl uptime -s web', 'In another form, of one domain'],
    ],
  },
  claims: { ...nothing, examples: [['xl claims', 'Memory that is set aside for domains in the making']] },
  'cpupool-create': {
    takes: ['file', 'other'],
    repeats: true,
    values: { '-f': 'file', '--defconfig': 'file' },
    examples: [
      ['xl cpupool-create \'name="second"\' \'cpus=["1"]\'', 'A pool with processor 1, which no other may have'],
      ['xl cpupool-create pool.cfg', 'As a file says, see xlcpupool.cfg(5)'],
    ],
  },
  'cpupool-list': {
    takes: ['pool'],
    examples: [
      ['xl cpupool-list', 'Pools, their schedulers and how many domains they have'],
      ['xl cpupool-list -c', 'Which processors they have'],
    ],
  },
  'cpupool-destroy': { takes: ['pool'], examples: [['xl cpupool-destroy second', 'A pool without domains']] },
  'cpupool-rename': { takes: ['pool', 'other'], examples: [['xl cpupool-rename second batch', 'Another name']] },
  'cpupool-cpu-add': {
    takes: ['pool', 'other'],
    examples: [['xl cpupool-cpu-add Pool-0 1', 'Give it a free processor']],
  },
  'cpupool-cpu-remove': {
    takes: ['pool', 'other'],
    examples: [['xl cpupool-cpu-remove Pool-0 1', 'Take one from it']],
  },
  'cpupool-migrate': {
    takes: ['domain', 'pool'],
    examples: [['xl cpupool-migrate web second', 'Move the domain there']],
  },
  'cpupool-numa-split': { ...nothing, examples: [['xl cpupool-numa-split', 'A pool for each node']] },
  getenforce: { ...nothing, plain: true, examples: [['xl getenforce', 'Whether Flask enforces its policy']] },
  setenforce: {
    plain: true,
    takes: [['Enforcing', 'Permissive', '1', '0']],
    examples: [['xl setenforce 1', 'Have it enforced']],
  },
  loadpolicy: { plain: true, takes: ['file'], examples: [['xl loadpolicy xenpolicy', 'Load a policy']] },
  remus: { ...domainAndOther, examples: [['xl remus -i 100 web otherhost', 'Keep a copy ready on another host']] },
  devd: { ...nothing, values: { '-p': 'file', '--pidfile': 'file' }, examples: [['xl devd', 'Start the daemon']] },
  'psr-hwinfo': { ...nothing, examples: [['xl psr-hwinfo', 'What the processor can monitor and allocate']] },
  'psr-cmt-attach': { ...domain, examples: [['xl psr-cmt-attach web', 'Monitor its use of the cache']] },
  'psr-cmt-detach': { ...domain, examples: [['xl psr-cmt-detach web', 'And no longer']] },
  'psr-cmt-show': {
    takes: [['cache-occupancy', 'total-mem-bandwidth', 'local-mem-bandwidth'], 'domain'],
    options: [],
    examples: [['xl psr-cmt-show cache-occupancy web', 'How much of the cache it has']],
  },
  'psr-cat-set': { ...domainAndOther, examples: [['xl psr-cat-set -l 3 web 0xf', 'Give it a part of the cache']] },
  'psr-cat-show': { ...domain, examples: [['xl psr-cat-show web', 'Which part it has']] },
  'psr-mba-set': { ...domainAndOther, examples: [['xl psr-mba-set web 50', 'Limit its memory bandwidth']] },
  'psr-mba-show': { ...domain, examples: [['xl psr-mba-show web', 'Its limit']] },
  'usbctrl-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [['xl usbctrl-attach web version=2 ports=4', 'A USB controller']],
  },
  'usbctrl-detach': { ...domainAndOther, examples: [['xl usbctrl-detach web 0', 'Take it away']] },
  'usbdev-attach': {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [['xl usbdev-attach web hostbus=1 hostaddr=5', 'Give a USB device of the host to the domain']],
  },
  'usbdev-detach': { takes: ['domain', 'other', 'other'], examples: [['xl usbdev-detach web 0 1', 'Take it back']] },
  'usb-list': { ...domain, examples: [['xl usb-list web', 'Its USB controllers and devices']] },
  'qemu-monitor-command': {
    ...domainAndOther,
    examples: [["xl qemu-monitor-command web 'info block'", 'Ask the device model of an HVM domain']],
  },
  fork: {
    takes: ['domain or file'],
    examples: [
      ['xl fork web', 'A clone of the domain web, called web-1, which goes on where web is; so does web'],
      ['xl fork --name job -n 20 web', 'Twenty of them: job-1 to job-20'],
      ['xl fork -p web', 'It stays paused; it can be forked again without disturbing web'],
      ['xl fork -n 2 web.save', 'Two clones of what xl save has written: web-1 and web-2'],
      ["xl fork --json web | jq '.[0].domid'", 'For a script'],
    ],
  },
  profile: {
    ...domain,
    examples: [
      ['xl profile web', 'What the domain web does for the next five seconds'],
      ['xl profile -t 60 --top 50 web', 'A minute of it, and more functions'],
      ["xl profile --json web | jq '.functions[0].name'", 'For a script'],
    ],
  },
  exec: {
    takes: ['domain', 'other'],
    repeats: true,
    examples: [
      ['xl exec web uname -r', 'Which kernel runs in the domain web'],
      ['xl exec web -- sh -c "df -h | tail -1"', 'What a shell makes of a line'],
      ['xl exec -e LANG=C -d /srv web make test', 'With a variable, in a folder'],
      ['tar c . | xl exec web tar x -C /srv', 'Standard input goes into the guest'],
      ['xl exec web cat /var/log/dpkg.log > dpkg.log', 'Standard output comes out of it'],
    ],
  },
  cp: {
    takes: ['file'],
    repeats: true,
    examples: [
      ['xl cp nginx.conf web:/etc/nginx/', 'Into the domain web'],
      ['xl cp web:/var/log/syslog .', 'Out of it'],
      ['xl cp -r web:/etc backup', 'A folder with all that is in it'],
    ],
  },
  'network-egress': {
    takes: ['domain', 'other'],
    repeats: true,
    values: { '-d': 'other', '--devid': 'other' },
    examples: [
      [
        "xl network-egress web deb.debian.org:80 '*.example.org:443' 10.0.0.0/8",
        'Nothing else is reached by the domain web',
      ],
      ['xl network-egress web', 'What it may reach, how often it did, and what was refused'],
      ['xl network-egress web none', 'Nothing at all'],
      ['xl network-egress -c web', 'Everything again'],
    ],
  },
  'network-forward': {
    takes: ['forward', 'other'],
    examples: [
      ['xl network-forward 2222 web:22', 'ssh -p 2222 localhost reaches the domain web'],
      ['xl network-forward tcp:*:8080 10.0.2.15:80', 'Also from other machines'],
      ['xl network-forward -r 2222', 'No longer'],
    ],
  },
  completion: {
    takes: [['bash', 'zsh', 'fish']],
    examples: [
      ['source <(xl completion bash)', 'In ~/.bashrc: Tab completes commands, options, domains'],
      ['source <(xl completion zsh)', 'In ~/.zshrc, after compinit'],
      ['xl completion fish | source', 'In ~/.config/fish/config.fish'],
    ],
  },
};
