import { boots, median, type Boot } from '../guest/boots.ts';
import type { Row } from '../row.ts';

const BOOTS = 3;

const ofBoots = (what: (boot: Boot) => number): Row['measure'] => {
  return async (note) => median((await boots(BOOTS, note)).map(what));
};

export const bootInit: Row = {
  name: 'boot.init',
  about: `from the start of xl create, the daemon running, to the kernel's "Run /init": cloud kernel, 256 MiB, median of ${BOOTS}`,
  unit: 's',
  better: 'lower',
  goal: 30,
  peers: { 'QEMU TCG': 2.1, 'Xen on QEMU TCG': 16.9, v86: 19.7 },
  measure: ofBoots(({ init }) => init),
};

export const bootShell: Row = {
  name: 'boot.shell',
  about: "the same to the shell's first prompt, which initialises some kernel modules on the way",
  unit: 's',
  better: 'lower',
  goal: 40,
  peers: {},
  measure: ofBoots(({ shell }) => shell),
};

export const xlCreate: Row = {
  name: 'xl.create',
  about: 'until xl create returns: reads the configuration, builds the domain, starts it',
  unit: 's',
  better: 'lower',
  goal: 0.3,
  peers: {},
  measure: ofBoots(({ create }) => create),
};
