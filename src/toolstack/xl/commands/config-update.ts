/** `xl config-update`: what a domain is made from when it reboots the next time. Its arguments are read as xl reads them, domain first. */
import { configToJson } from '../../config/domain-config.ts';
import { formatJson, type JsonObject } from '../../config/json.ts';
import { attempt, findDomain, printHelp, readArguments, type Invocation } from '../command.ts';
import { configSource, parseOrExit, readConfig, splitFirst, withAbsolutePaths, wrongUse } from '../config-file.ts';

/** libxl's ERROR_FAIL, which xl returns here as it is. */
const failed = 253;

export async function run(invocation: Invocation): Promise<number> {
  const { out, err, globals, argv } = invocation;
  const [domain, ...rest] = argv;
  if (domain === undefined) {
    err('xl config-update requires a domain argument');
    await printHelp(invocation, 'config-update');
    return 1;
  }
  err('WARNING: xl now has better capability to manage domain configuration, avoid using this command when possible');
  const domid = await findDomain(invocation, domain);
  const { first, argv: options } = splitFirst(rest);
  const rules = { short: 'dqf:', long: { defconfig: 'f:' } };
  const { has, valueOf, arguments: given } = await readArguments({ ...invocation, argv: options }, rules, 0);
  const { file, overrides } = configSource(first, valueOf('f'), given) ?? (await wrongUse(invocation));
  if (file === undefined) {
    err('Config file not specified');
    return 1;
  }
  const { config } = parseOrExit(readConfig(file, overrides, err, failed), file, err);
  if (has('d') || globals.dryRun) out(`${formatJson({ domid: null, config: configToJson(config) })}\n`);
  if (globals.dryRun) return 0;
  err(`setting dom${domid} configuration`);
  const client = await invocation.daemon();
  const message = withAbsolutePaths(config) as unknown as JsonObject;
  if ((await attempt(invocation, () => client.call('updateConfig', { domid, config: message }))) === undefined)
    return 0;
  err('failed to update configuration');
  return 1;
}
