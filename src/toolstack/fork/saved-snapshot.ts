/** A saved domain as what clones begin from. Nothing of it runs itself, so the domain that was saved may go on under its own name. */
import { generateUuid } from '../config/uuid.ts';
import type { DomainConfig } from '../config/domain-config.ts';
import type { DomainManager } from '../domain/domain-manager.ts';
import type { CreateOptions } from '../domain/managed-domain.ts';
import type { DomainSnapshot } from './domain-snapshot.ts';

/** What it is called in the moment in which it is a domain. */
const TEMPLATE = '--template';

/** @param config as it was saved; of this call from now on. Throws XenError. */
export async function snapshotSaved(
  manager: DomainManager,
  config: DomainConfig,
  restore: CreateOptions['restore'],
): Promise<DomainSnapshot> {
  const { c_info } = config;
  const { name } = c_info;
  let number = 0;
  do c_info.name = `${name}${TEMPLATE}${number++ === 0 ? '' : `-${number}`}`;
  while (manager.domidOf(c_info.name) !== undefined);
  c_info.uuid = generateUuid();
  delete c_info.domid;
  const { domid } = await manager.create(config, restore === undefined ? {} : { restore });
  try {
    return await manager.snapshot(domid, name);
  } finally {
    if (manager.domain(domid) !== undefined) await manager.destroy(domid);
  }
}
