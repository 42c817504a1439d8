/** xentop's options, as getopt_long takes them. */
export const topOptions = {
  short: 'Vnxrvd:bi:f',
  long: {
    version: 'V',
    networks: 'n',
    vbds: 'x',
    'repeat-header': 'r',
    vcpus: 'v',
    delay: 'd:',
    batch: 'b',
    iterations: 'i:',
    'full-name': 'f',
  },
} as const;
