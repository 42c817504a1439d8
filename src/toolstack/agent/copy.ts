/** Files and whole folders from the host into a guest and back: what `xl cp` does. Permissions go with them, owners and times do not. */
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { finished } from 'node:stream/promises';
import { drained } from '../drained.ts';
import type { AgentClient } from './client.ts';
import { AgentError, GuestFileError } from './errors.ts';
import type { FileInfo } from './protocol.ts';

export interface CopyOptions {
  /** Folders with all that is in them. */
  readonly recursive: boolean;
  /** Told of what is neither file nor folder, and stays behind. */
  readonly skipped: (path: string) => void;
}

/** Folders inside folders; a guest could have them without end. */
const maxDepth = 64;

/** `-` is standard input. Into a folder that is there it goes under its own name. */
export async function copyIn(agent: AgentClient, from: string, to: string, options: CopyOptions): Promise<void> {
  if (from === '-') {
    await agent.writeFile(to, process.stdin as AsyncIterable<Uint8Array>);
    return;
  }
  const isFolder = (await guestStat(agent, to))?.type === 'directory';
  await giveTree(agent, from, isFolder ? posix.join(to, basename(from)) : to, options, 0);
}

/** `-` is standard output. Into a folder that is there it goes under its own name. */
export async function copyOut(agent: AgentClient, from: string, to: string, options: CopyOptions): Promise<void> {
  const info = await agent.stat(from);
  if (to === '-') {
    if (info.type === 'directory') throw new AgentError(`${from} in the guest is a folder`);
    for await (const bytes of agent.readStream(from))
      await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
    return;
  }
  const here = await stat(to).catch(() => undefined);
  await takeTree(agent, from, here?.isDirectory() === true ? join(to, posix.basename(from)) : to, info, options, 0);
}

async function giveTree(
  agent: AgentClient,
  from: string,
  to: string,
  options: CopyOptions,
  depth: number,
): Promise<void> {
  const info = await stat(from);
  const mode = info.mode & 0o7777;
  if (info.isFile()) {
    await agent.writeFile(to, createReadStream(from) as AsyncIterable<Uint8Array>, { mode });
  } else if (!info.isDirectory()) {
    options.skipped(from);
  } else {
    checkFolder(from, options, depth);
    await agent.mkdir(to, { recursive: true, mode: mode | 0o700 });
    for (const name of await readdir(from))
      await giveTree(agent, join(from, name), posix.join(to, name), options, depth + 1);
  }
}

async function takeTree(
  agent: AgentClient,
  from: string,
  to: string,
  info: FileInfo,
  options: CopyOptions,
  depth: number,
): Promise<void> {
  if (info.type === 'directory') {
    checkFolder(from, options, depth);
    await mkdir(to, { recursive: true });
    for (const entry of await agent.list(from)) {
      checkName(entry.name);
      await takeTree(agent, posix.join(from, entry.name), join(to, entry.name), entry, options, depth + 1);
    }
    await chmod(to, info.mode & 0o777);
  } else if (info.type === 'file' || depth === 0) {
    await takeFile(agent, from, to, info.mode & 0o777);
  } else {
    options.skipped(from);
  }
}

/** It appears whole or not at all, unless there is something else than a file already. */
async function takeFile(agent: AgentClient, from: string, to: string, mode: number): Promise<void> {
  const before = await stat(to).catch(() => undefined);
  const beside = before === undefined || before.isFile();
  const path = beside ? join(dirname(to), `.${basename(to)}.${process.pid}`) : to;
  try {
    const file = createWriteStream(path, beside ? { flags: 'wx', mode: 0o600 } : {});
    // Before anything waits for it: it may fail to open.
    const written = finished(file);
    written.catch(() => undefined);
    for await (const bytes of agent.readStream(from)) {
      if (!file.write(bytes)) await Promise.race([drained(file), written]);
    }
    file.end();
    await written;
    if (!beside) return;
    await chmod(path, mode);
    await rename(path, to);
  } catch (error) {
    if (beside) await rm(path, { force: true });
    throw error;
  }
}

async function guestStat(agent: AgentClient, path: string): Promise<FileInfo | undefined> {
  try {
    return await agent.stat(path);
  } catch (error) {
    if (error instanceof GuestFileError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function checkFolder(path: string, { recursive }: CopyOptions, depth: number): void {
  if (!recursive) throw new AgentError(`${path} is a folder: -r copies those`);
  if (depth === maxDepth) throw new AgentError(`${path} lies too deep`);
}

/** A name from a guest is not to lead out of the folder that it is copied to. */
function checkName(name: string): void {
  if (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name))
    throw new AgentError(`the guest has a file of a name that cannot be copied: ${JSON.stringify(name)}`);
}
