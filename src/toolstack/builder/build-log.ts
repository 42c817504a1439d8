/** What `xl -v create` shows of the domain builder, line by line in the form of libxc's. */
export type BuildLog = (line: string) => void;

export function silent(): void {}

/** A number as libxc's `0x%lx` shows it; negative ones are 64-bit addresses. */
export function hex(value: number): string {
  return `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
}

export function domainBuilder(log: BuildLog, text: string): void {
  log(`domainbuilder: detail: ${text}`);
}

export function libelf(log: BuildLog, text: string): void {
  log(`xc: detail: ${text}`);
}
