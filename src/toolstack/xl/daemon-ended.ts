/** Whether a daemon that does not answer any more has ended, and its domains with it. */
import { DaemonClient } from '../daemon/client.ts';
import { runDirectory } from '../daemon/run-directory.ts';

/** False when it is not known. */
export async function daemonEnded({ closed, pid }: Pick<DaemonClient, 'closed' | 'pid'>): Promise<boolean> {
  if (!closed) return false;
  try {
    const now = await DaemonClient.connect(runDirectory().socket);
    now?.close();
    return now?.pid !== pid;
  } catch {
    return false;
  }
}
