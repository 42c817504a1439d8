/** `xl-image convert`: a copy of a disk in another format, without what is behind it. */
import { copyDisk } from '../../../dom0/disk/copy-disk.ts';
import { createDisk } from '../../../dom0/disk/create-disk.ts';
import { openDisk } from '../../../dom0/disk/index.ts';
import { readCreateOptions } from '../create-options.ts';
import { formatOf, type ImageInvocation, readFormat, usageError } from '../image-command.ts';
import { showProgress } from '../show-progress.ts';
import { describeSize } from '../size.ts';

export async function run(invocation: ImageInvocation): Promise<number> {
  const { options, host, out, terminal } = invocation;
  const [from = '', to = ''] = invocation.arguments;
  const format = readFormat(options.get('O') ?? 'qcow2');
  const compress = options.has('c');
  if (compress && format !== 'qcow2') throw usageError(`${format} cannot be compressed`, '-O qcow2 can');
  const source = await openDisk(host, from, { format: await formatOf(invocation, from), readOnly: true });
  try {
    const draft = readCreateOptions(format, source.size, options.get('o'), invocation);
    const progress = showProgress(terminal, `converting ${from}`);
    try {
      await createDisk(host, to, { ...draft, overwrite: options.has('y') });
      const targetIsZero = await isFile(invocation, to);
      const target = await openDisk(host, to, { format, readOnly: false });
      try {
        await copyDisk(source, target, {
          compress,
          targetIsZero: targetIsZero || format !== 'raw',
          onProgress: progress.report,
        });
      } finally {
        await target.close();
      }
    } finally {
      progress.end();
    }
    if (!options.has('q')) out(`${to}: ${format}, ${describeSize(source.size)}, from ${from}\n`);
    return 0;
  } finally {
    await source.close();
  }
}

async function isFile({ host }: ImageInvocation, path: string): Promise<boolean> {
  const file = await host.open(path, { readOnly: true, shared: true });
  await file.close();
  return file.kind === 'file';
}
