/** `xl-image create`: an empty image, or one that shows another until it is written to. */
import { createDisk } from '../../../dom0/disk/create-disk.ts';
import { openDisk } from '../../../dom0/disk/index.ts';
import { readCreateOptions } from '../create-options.ts';
import { type ImageInvocation, readFormat, usageError } from '../image-command.ts';
import { showProgress } from '../show-progress.ts';
import { describeSize, readSize } from '../size.ts';

export async function run(invocation: ImageInvocation): Promise<number> {
  const { options, host, out, terminal } = invocation;
  const [path = '', sizeText] = invocation.arguments;
  const format = readFormat(options.get('f') ?? 'qcow2');
  const backing = readBacking(invocation, path);
  if (backing !== undefined && format !== 'qcow2') throw usageError(`${format} has no backing files`, '-f qcow2 has');
  if (backing === undefined && sizeText === undefined)
    throw usageError('a size is needed', 'such as: xl-image create web.qcow2 20G');
  const size = sizeText === undefined ? await sizeOf(invocation, backing) : readSize(sizeText);
  const draft = readCreateOptions(format, size, options.get('o'), invocation);
  if (backing !== undefined) {
    // Opened once, so that a name that leads nowhere is told now.
    if (sizeText !== undefined) await sizeOf(invocation, backing);
    draft.qcow2 = { ...draft.qcow2, backingFile: backing.name, backingFormat: backing.format };
  }
  const progress = showProgress(terminal, `allocating ${path}`);
  try {
    await createDisk(host, path, { ...draft, overwrite: options.has('y'), onProgress: progress.report });
  } finally {
    progress.end();
  }
  if (!options.has('q'))
    out(`${path}: ${format}, ${describeSize(size)}${backing ? `, on top of ${backing.name}` : ''}\n`);
  return 0;
}

interface Backing {
  readonly name: string;
  readonly path: string;
  readonly format: ReturnType<typeof readFormat>;
}

function readBacking({ options, host }: ImageInvocation, path: string): Backing | undefined {
  const name = options.get('b');
  const format = options.get('F');
  if (name === undefined) {
    if (format !== undefined)
      throw usageError('-F is the format of the backing file, and there is none', '-b names one');
    return undefined;
  }
  if (format === undefined) {
    throw usageError('the format of the backing file is needed', 'such as: -b base.qcow2 -F qcow2');
  }
  return { name, path: host.resolve(path, name), format: readFormat(format) };
}

async function sizeOf({ host }: ImageInvocation, backing: Backing | undefined): Promise<number> {
  if (backing === undefined) return 0;
  const disk = await openDisk(host, backing.path, { format: backing.format, readOnly: true, shared: true });
  await disk.close();
  return disk.size;
}
