/**
 * Who may import whom. The rooms are those of docs/architecture.md; scripts/room-imports.ts walks the imports of every source
 * file against this table. A room may always import itself; `ambient` holds declarations only and is seen without import.
 */
export interface Room {
  /** Rooms, or single folders or files of a room, that it may import. */
  readonly imports: readonly string[];
  /** Whether its sources may import Node's modules and packages of package.json. Its tests always may. */
  readonly outside: boolean;
}

export const rooms: Readonly<Record<string, Room>> = {
  abi: { imports: [], outside: false }, // layouts, numbers, limits; no behaviour
  cpu: { imports: [], outside: false }, // knows no Xen
  hypervisor: { imports: ['abi', 'cpu'], outside: false }, // no file, no socket, no packet, no disk
  dom0: { imports: ['abi', 'hypervisor/control'], outside: true }, // the control interface, not what lies behind it
  // `cpu/wasm` writes WebAssembly and knows no processor.
  toolstack: { imports: ['abi', 'cpu/wasm', 'dom0', 'hypervisor/control'], outside: true },
  host: { imports: ['abi', 'cpu', 'hypervisor', 'dom0', 'toolstack'], outside: true }, // the only one that knows where it runs
  ambient: { imports: [], outside: false },
};

/** Folders that only tests use. They may import from outside like a test, and only a test or one of their own may import them. */
export const testFolders: readonly string[] = [
  'abi/testing',
  'cpu/oracle',
  'cpu/testing',
  'hypervisor/testing',
  'hypervisor/pv/testing',
  'dom0/net/testing',
  'dom0/testing',
  'toolstack/testing',
  'host/testing',
  'host/node/testing',
];
