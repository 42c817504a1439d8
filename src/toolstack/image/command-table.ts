/** Every command of `xl-image`, and what its help says. */
import { type ImageCommandRow } from './image-command.ts';

const formatHelp = `  -f FORMAT   the image's format: raw, qcow2 or vhd; without it, what the file looks like`;
const jsonHelp = `  --json      for programs`;
const json = { json: 'j' };

export const imageCommands: Readonly<Record<string, ImageCommandRow>> = {
  create: {
    usage: '[-f FORMAT] [-o OPTION=VALUE,…] [-b BACKING -F FORMAT] FILE [SIZE]',
    about: 'Make an empty image',
    help: `  -f FORMAT   raw, qcow2 (without -f) or vhd
  -b BACKING  shows this image until it is written to, and is never written to itself (qcow2); the name is kept relative to FILE
  -F FORMAT   the backing file's format
  -o …        qcow2: preallocation=off|metadata|full, cluster_size, compat=1.1|0.10, refcount_bits, lazy_refcounts=on|off,
              compression_type=zlib|zstd; vhd: subformat=dynamic|fixed, preallocation; raw: preallocation=off|full
  -y          also over a file that exists
  -q          says nothing

A disk of 20 GiB that takes no more space than what is written to it:
  xl-image create web.qcow2 20G
The same with the disk of a template behind it:
  xl-image create -b debian.qcow2 -F qcow2 web.qcow2`,
    short: 'f:o:b:F:yq',
    long: { format: 'f:', overwrite: 'y', quiet: 'q' },
    required: 1,
    most: 2,
    load: () => import('./commands/create.ts'),
  },
  info: {
    usage: '[-f FORMAT] [--json] FILE',
    about: 'Tell what an image is',
    help: `${formatHelp}\n${jsonHelp}`,
    short: 'f:',
    long: { format: 'f:', ...json },
    required: 1,
    most: 1,
    load: () => import('./commands/info.ts'),
  },
  check: {
    usage: '[-r leaks|all] [--json] FILE',
    about: 'Find out whether a qcow2 image is whole',
    help: `  -r leaks    gets back space that counts as used and is not
  -r all      also repairs what would make a guest read wrong data, as far as that can be done
${jsonHelp}

Exit code 0: nothing is wrong; 2: corruptions; 3: leaks only; 1: the check could not be made.`,
    short: 'f:r:',
    long: { format: 'f:', repair: 'r:', ...json },
    required: 1,
    most: 1,
    load: () => import('./commands/check.ts'),
  },
  resize: {
    usage: '[-f FORMAT] [--shrink] FILE [+|-]SIZE',
    about: 'Change the size of a disk',
    help: `${formatHelp}
  --shrink    allows what lies behind the new end to be lost

The guest's partitions and filesystems keep their size; a growing disk has room behind them then.
  xl-image resize web.qcow2 +10G`,
    short: 'f:',
    long: { format: 'f:', shrink: 's' },
    required: 2,
    most: 2,
    load: () => import('./commands/resize.ts'),
  },
  snapshot: {
    usage: 'create|list|apply|delete [--json] FILE [NAME]',
    about: 'Keep what a qcow2 disk is, and go back to it',
    help: `  create FILE NAME   keeps what the disk is now; it takes space as the disk changes
  list FILE          the snapshots that there are
  apply FILE NAME    the disk is again as it was; what it was meanwhile is lost
  delete FILE NAME   gets the space back
${jsonHelp}

The image must not be in use.
  xl-image snapshot create web.qcow2 before-upgrade`,
    short: 'f:',
    long: { format: 'f:', ...json },
    required: 2,
    most: 3,
    load: () => import('./commands/snapshot.ts'),
  },
  convert: {
    usage: '[-f FORMAT] [-O FORMAT] [-o OPTION=VALUE,…] [-c] SOURCE TARGET',
    about: 'Copy a disk into an image of another format',
    help: `  -f FORMAT   the source's format; without it, what the file looks like
  -O FORMAT   the target's: raw, qcow2 (without -O) or vhd
  -o …        as for create
  -c          packs every cluster (qcow2)
  -y          also over a file that exists
  -q          says nothing

The target has all of the disk, also what the source has in backing files. Zeroes take no space.
  xl-image convert -O qcow2 -c old.vhd web.qcow2`,
    short: 'f:O:o:cyqp',
    long: { format: 'f:', overwrite: 'y', quiet: 'q' },
    required: 2,
    most: 2,
    load: () => import('./commands/convert.ts'),
  },
};
