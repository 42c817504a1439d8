/**
 * npm run profile [-- --top N] [--interval µs] [--run COMMAND]: which functions of the interpreter and of the hypervisor a vCPU's thread spends its time in, for the boot up to
 * /init and for a command in the guest, sha256sum by default. The guest runs in a child process under V8's sampling profiler, with names in the interpreter's module.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hottest, type CpuProfile, type Hot } from './profile/cpu-profile.ts';

const { values } = parseArgs({
  options: {
    top: { type: 'string', default: '25' },
    interval: { type: 'string', default: '500' },
    run: { type: 'string' },
  },
});

interface Phase {
  readonly name: string;
  /** Microseconds of the clock that the profiler uses. */
  readonly from: number;
  readonly to: number;
  /** Where the guest was. */
  readonly guest: readonly Hot[];
}

function table(title: string, lines: readonly Hot[]): void {
  console.log(`| share | ${title} |\n|---:|---|`);
  for (const { share, what } of lines) console.log(`| ${(share * 100).toFixed(1)} % | ${what} |`);
  console.log();
}

const folder = mkdtempSync(join(tmpdir(), 'xenolith-profile-'));
try {
  const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${values.interval}`];
  const child = spawn(
    process.execPath,
    [...flags, join(import.meta.dirname, 'profile/workload.ts'), ...(values.run === undefined ? [] : [values.run])],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, XENOLITH_NAMES: '1', XENOLITH_RUN_DIR: join(folder, 'run') },
    },
  );
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`the guest's process ended with ${String(code)}`);
  const phases = JSON.parse(said) as Phase[];
  const profiles = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile);
  for (const { name, from, to, guest } of phases) {
    // The vCPU's thread is the one that was in the interpreter.
    const threads = profiles.map((profile) => hottest(profile, from, to));
    const [vcpu] = threads.sort((a, b) => b.wasm - a.wasm);
    if (vcpu === undefined) throw new Error('the profiler left nothing');
    console.log(`\n${name}: ${(vcpu.total / 1e6).toFixed(1)} s\n`);
    const top = Number(values.top);
    table('function of the host', vcpu.functions.slice(0, top));
    table('part of the host', vcpu.parts.slice(0, top));
    table('function of the guest', guest.slice(0, top));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
