/** What `npm run bench` measures, in the order it is told. */
import type { Row } from './row.ts';
import { row as hypervisorSize } from './rows/hypervisor-size.ts';

export const rows: readonly Row[] = [hypervisorSize];
