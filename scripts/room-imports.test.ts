import assert from 'node:assert/strict';
import { it } from 'node:test';
import { wrongImports } from './room-imports.ts';

const cases: readonly (readonly [file: string, line: string, wrong: RegExp | undefined])[] = [
  ['src/cpu/alu.ts', `import { flags } from './flags.ts';`, undefined],
  ['src/cpu/alu.ts', `import { Errno } from '../abi/errno.ts';`, /alu\.ts:2: "cpu" may not import "abi\/errno\.ts"/],
  ['src/abi/struct.ts', `import { readFileSync } from 'node:fs';`, /"abi" may import nothing from outside/],
  ['src/abi/struct.test.ts', `import { it } from 'node:test';`, undefined],
  ['src/hypervisor/pv/traps.ts', `import type { Processor } from '../../cpu/index.ts';`, undefined],
  ['src/hypervisor/domain.ts', `import type { Store } from '../dom0/xenstore/store.ts';`, /may not import "dom0/],
  ['src/hypervisor/domain.ts', `const store = await import('../dom0/xenstore/store.ts');`, /may not import "dom0/],
  ['src/hypervisor/domain.ts', `export * from '../toolstack/config/parse.ts';`, /may not import "toolstack/],
  ['src/hypervisor/domain.ts', `let s: import('../dom0/xenstore/store.ts').Store;`, /may not import "dom0/],
  ['src/dom0/console/backend.ts', `import type { DomainControl } from '../../hypervisor/control.ts';`, undefined],
  [
    'src/dom0/console/backend.ts',
    `import { Domain } from '../../hypervisor/domain.ts';`,
    /may not import "hypervisor\/domain/,
  ],
  ['src/dom0/console/backend.ts', `import { net } from '../../../scripts/rooms.ts';`, /outside src/],
  ['src/host/node/start.ts', `import { Processor } from '../../cpu/index.ts';`, undefined],
  ['src/cpu/oracle/native.ts', `import { spawn } from 'node:child_process';`, undefined],
  ['src/cpu/alu.oracle-test.ts', `import { runNative } from './oracle/native.ts';`, undefined],
  ['src/cpu/alu.ts', `import { runNative } from './oracle/native.ts';`, /is for tests/],
  ['src/helpers/string.ts', ``, /no room "helpers"/],
];

for (const [file, line, wrong] of cases) {
  it(`${wrong ? 'refuses' : 'allows'} in ${file}: ${line}`, () => {
    const found = wrongImports(file, `// first line\n${line}\n`);
    if (wrong) assert.match(found.join('\n'), wrong);
    else assert.deepEqual(found, []);
  });
}
