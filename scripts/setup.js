// Installs what package-lock.json names, when that is not what is installed. Run by bin/launch with the machine's own Node
// (20 or newer), so: plain JavaScript, nothing imported but Node's modules.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

const root = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '..');
const modules = join(root, 'node_modules');
const pinnedNode = join(modules, 'node', 'bin', 'node');
const installedLock = join(modules, '.package-lock.json'); // npm's own record of what it has put there
const busy = join(root, '.setup-lock');
const oldestNode = 20;

/** Whether node_modules holds what the lock file names; the files' dates say nothing sure after a checkout or a merge. */
function upToDate() {
  if (!existsSync(pinnedNode) || !existsSync(installedLock)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const have = JSON.parse(readFileSync(installedLock, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || isDeepStrictEqual(have[path]?.integrity, entry.integrity),
  );
}

/** Tells bin/launch, which compares dates, that all is well. */
function markUpToDate() {
  const now = new Date();
  utimesSync(installedLock, now, now);
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    // To stderr, all of it: stdout belongs to the command that the user gave.
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 2, 2],
      env: { ...process.env, npm_config_loglevel: 'error' },
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
}

/** Two commands started at once must not both install. A lock that a killed install left behind is taken after ten minutes. */
async function withLock(work) {
  for (;;) {
    try {
      mkdirSync(busy);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const age = Date.now() - (statSync(busy, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (age > 600_000) rmdirSync(busy);
    else await sleep(200);
  }
  try {
    await work();
  } finally {
    rmdirSync(busy);
  }
}

function say(text) {
  process.stderr.write(`xenolith: ${text}\n`);
}

async function install() {
  if (upToDate()) return markUpToDate();
  say(
    `installing dependencies (Node ${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies.node} and the development tools)…`,
  );
  const begin = Date.now();
  const ticking = setInterval(() => say(`… still installing, ${Math.round((Date.now() - begin) / 1000)} s`), 15_000);
  try {
    const result = await run('npm', ['ci', '--no-audit', '--no-fund']);
    if (result !== 0)
      throw new Error(`npm ci failed (${result}); is the package registry reachable? See npm's message above`);
    // Where npm is told to ignore install scripts, the runtime itself is still to be fetched.
    if (!existsSync(pinnedNode)) await run('npm', ['rebuild', 'node', '--ignore-scripts=false']);
    if (!existsSync(pinnedNode))
      throw new Error("the pinned Node was not installed: the 'node' package's install script did not run");
  } finally {
    clearInterval(ticking);
  }
  // xl, the daemon and workers start sooner from one file each; without, they run from their sources.
  const bundled = await run(pinnedNode, [join(root, 'scripts', 'bundle.ts')]);
  if (bundled !== 0) say('programs were not put into one file each, and start slower');
  markUpToDate();
  say(`dependencies installed in ${Math.round((Date.now() - begin) / 1000)} s`);
}

if (Number(process.versions.node.split('.')[0]) < oldestNode) {
  say(`Node.js ${oldestNode} or newer is needed, this is ${process.version}`);
  process.exit(69);
}
try {
  await withLock(install);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
