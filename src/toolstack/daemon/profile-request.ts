/** The request behind `xl profile`: the daemon looks for a while, as the samples do not wait in the domain's memory for long. */
import type { JsonObject } from '../config/json.ts';
import { LibxlError } from '../domain/libxl-error.ts';
import { POLL_MS, ProfileSession } from '../domain/profile.ts';
import type { Call } from './connection.ts';
import * as read from './parameters.ts';
import type { ProfileSummary } from './protocol.ts';
import type { RequestContext } from './requests.ts';

export const profileLimits = { milliseconds: { least: 100, most: 600_000 }, top: { least: 1, most: 1000 } } as const;

export async function profile(
  { hypervisor, manager, clock }: Pick<RequestContext, 'hypervisor' | 'manager' | 'clock'>,
  params: JsonObject,
  call: Pick<Call, 'onGone'>,
): Promise<ProfileSummary> {
  const domid = read.domid(params);
  const { milliseconds, top } = profileLimits;
  const interval = read.count(params, 'milliseconds', milliseconds.least, milliseconds.most);
  const most = read.count(params, 'top', top.least, top.most);
  const domain = hypervisor.domain(domid);
  if (domain === undefined) throw new LibxlError('DOMAIN_NOTFOUND', [`Error: Domain '${domid}' does not exist.`]);
  const session = new ProfileSession(domain);
  if (session.isEmpty)
    throw new LibxlError('INVAL', [`xl: domain ${domid} has no vCPU of its own: its services are part of the daemon`]);
  const name = manager.nameOf(domid) ?? '(null)';
  let isGone = false;
  call.onGone(() => (isGone = true));
  const begun = clock.now();
  const end = begun + interval;
  while (clock.now() < end && !isGone) {
    await clock.sleep(Math.min(POLL_MS, Math.max(0, end - clock.now())));
    if (hypervisor.domain(domid) !== domain)
      throw new LibxlError('DOMAIN_NOTFOUND', [`xl: domain ${domid} has ended meanwhile`]);
    session.poll();
  }
  return { domid, name, seconds: (clock.now() - begun) / 1000, ...session.profile(most) };
}
