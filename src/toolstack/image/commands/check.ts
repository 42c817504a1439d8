/** `xl-image check`: whether a qcow2 image's tables and counts agree, and putting them right. Exit codes and JSON are qemu-img's. */
import { type CheckReport, checkImage } from '../../../dom0/disk/qcow2/check.ts';
import { ImageFile } from '../../../dom0/disk/qcow2/image-file.ts';
import { readHeader } from '../../../dom0/disk/qcow2/open.ts';
import { recount } from '../../../dom0/disk/qcow2/recount.ts';
import { type ImageInvocation, requireQcow2, usageError } from '../image-command.ts';

const CORRUPTIONS = 2;
const LEAKS = 3;

export async function run(invocation: ImageInvocation): Promise<number> {
  const [path = ''] = invocation.arguments;
  const repair = invocation.options.get('r');
  if (repair !== undefined && repair !== 'leaks' && repair !== 'all') {
    throw usageError(`-r ${repair}: what is repaired is "leaks" or "all"`);
  }
  await requireQcow2(invocation, path, 'tables to check');
  const file = await invocation.host.open(path, { readOnly: repair === undefined });
  try {
    const before = await checkImage(new ImageFile(file, await readHeader(file)));
    const wanted = before.corruptions > 0 ? repair === 'all' : before.leaks > 0 && repair !== undefined;
    if (wanted) await recount(new ImageFile(file, await readHeader(file)), { evenDamaged: repair === 'all' });
    const report = wanted ? await checkImage(new ImageFile(file, await readHeader(file))) : before;
    invocation.out(invocation.options.has('j') ? asJson(path, report, before) : asText(path, report, before));
    return report.corruptions > 0 ? CORRUPTIONS : report.leaks > 0 ? LEAKS : 0;
  } finally {
    await file.close();
  }
}

function asText(path: string, report: CheckReport, before: CheckReport): string {
  const lines = report.problems.map((problem) => `corruption: ${problem}`);
  const fixed = before.corruptions + before.leaks - report.corruptions - report.leaks;
  if (fixed > 0)
    lines.push(
      `put right: ${before.corruptions - report.corruptions} corruptions, ${before.leaks - report.leaks} leaks`,
    );
  if (report.corruptions === 0 && report.leaks === 0) lines.push(`${path}: nothing is wrong`);
  else lines.push(`${path}: ${report.corruptions} corruptions, ${report.leaks} clusters leak`);
  const { allocatedClusters: allocated, totalClusters: total } = report;
  lines.push(`${allocated} of ${total} clusters are allocated, ${report.compressedClusters} of them compressed`);
  if (report.leaks > 0) lines.push('hint: leaks do no harm; -r leaks gets the space back');
  if (report.corruptions > 0) lines.push('hint: copy the image first, then -r all repairs what can be repaired');
  return `${lines.join('\n')}\n`;
}

function asJson(path: string, report: CheckReport, before: CheckReport): string {
  const json = {
    filename: path,
    format: 'qcow2',
    'check-errors': 0,
    corruptions: report.corruptions,
    leaks: report.leaks,
    'corruptions-fixed': before.corruptions - report.corruptions,
    'leaks-fixed': Math.max(0, before.leaks - report.leaks),
    'image-end-offset': report.imageEndOffset,
    'total-clusters': report.totalClusters,
    'allocated-clusters': report.allocatedClusters,
    'compressed-clusters': report.compressedClusters,
    'fragmented-clusters': report.fragmentedClusters,
    problems: report.problems,
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}
