/** What a vCPU that checks itself leaves behind when it stops: a report for a person, with the region's function as text. */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CheckFailure, checkReport, instructionSet, type Processor } from '../../cpu/index.ts';

/** Writes the report of such a failure. @returns what to say of it; other errors as they are */
export async function explain(
  error: unknown,
  processor: Processor | undefined,
  folder: string,
  name: string,
): Promise<string> {
  if (!(error instanceof CheckFailure) || !processor)
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const { text, module } = checkReport(error, instructionSet(), processor);
  const path = join(folder, `check-${name}-${process.pid}.txt`);
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  appendFileSync(path, await functionText(module, path.replace(/txt$/, 'wasm')));
  return `${error.message}; see ${path}`;
}

/** The module in the text format, or where it lies when the package that knows the format is missing: it is not needed to run Xenolith. */
async function functionText(module: Uint8Array, path: string): Promise<string> {
  try {
    const { default: wabt } = await import('wabt');
    const { readWasm } = await wabt();
    const features = {
      simd: true,
      threads: true,
      tail_call: true,
      bulk_memory: true,
      sat_float_to_int: true,
      sign_extension: true,
      multi_value: true,
    };
    return readWasm(module, { check: false, ...features }).toText({ foldExprs: false, inlineExport: false });
  } catch (error) {
    writeFileSync(path, module, { mode: 0o600 });
    return `The function is in ${path} (${error instanceof Error ? error.message : String(error)}).\n`;
  }
}
