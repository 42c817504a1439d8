import { Bytes } from './bytes.ts';

const CUSTOM = 0;
const FUNCTION_NAMES = 1;

/**
 * A module in the binary format with a name for each function (core specification, appendix "Custom Sections", "Name Section"), so that profilers and stack
 * traces show them. A custom section may stand at the end.
 */
export function withFunctionNames(module: Uint8Array, names: readonly string[]): Uint8Array<ArrayBuffer> {
  const map = new Bytes();
  map.u32(names.length);
  names.forEach((name, index) => {
    map.u32(index);
    map.name(name);
  });
  const section = new Bytes();
  section.name('name');
  section.byte(FUNCTION_NAMES);
  section.u32(map.length);
  section.append(map);
  const out = new Bytes();
  out.bytes(module);
  out.byte(CUSTOM);
  out.u32(section.length);
  out.append(section);
  return out.view().slice();
}
