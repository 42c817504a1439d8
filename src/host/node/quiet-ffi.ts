/**
 * node:ffi without the two lines of warning that Node prints when a process loads it: a person who shrinks an image is not helped by them. That the module is experimental is
 * written down in docs/adr/0010 and 0012. Loaded when it is needed, not before.
 */
export function quietFfi() {
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule('node:ffi');
  } finally {
    process.emitWarning = emitWarning;
  }
}
