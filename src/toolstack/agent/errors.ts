/** What can go wrong with a guest's agent, as a person or a program must know it. */
import { XenError, type XenErrorOptions } from '../xen-error.ts';
import { linuxError } from './linux-numbers.ts';

/** Something that the agent in a guest was asked for did not come about. */
export class AgentError extends XenError {
  override readonly name: string = 'AgentError';
}

/** Nobody answers: the guest has no such channel, no agent, or has not come so far. */
export class AgentNotThereError extends AgentError {
  override readonly name = 'AgentNotThereError';

  constructor(message: string, options: XenErrorOptions = {}) {
    super(message, { hint: 'docs/agent.md says how a guest gets its agent', ...options });
  }
}

/** The session has ended: with the guest, because the guest was saved or moved, or because its agent talks nonsense. */
export class AgentGoneError extends AgentError {
  override readonly name = 'AgentGoneError';
}

/** More programs and file operations than the agent takes at a time. */
export class AgentBusyError extends AgentError {
  override readonly name = 'AgentBusyError';

  constructor() {
    super('the guest’s agent has as many programs and files open as it takes at a time');
  }
}

/** A program could not be started. `code` as Linux names it. */
export class ExecError extends AgentError {
  override readonly name: string = 'ExecError';
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

export class CommandNotFoundError extends ExecError {
  override readonly name = 'CommandNotFoundError';

  constructor(command: string) {
    super(`the guest has no command ${command}`, 'ENOENT');
  }
}

/** The folder that a program was to start in. */
export class NoSuchDirectoryError extends ExecError {
  override readonly name = 'NoSuchDirectoryError';

  constructor(path: string, code: string) {
    super(
      code === 'ENOENT' ? `the guest has no folder ${path}` : `${path} in the guest is no folder to start in`,
      code,
    );
  }
}

/** A file of the guest cannot be had, or changed. `code` as Linux names it, such as ENOENT. */
export class GuestFileError extends AgentError {
  override readonly name = 'GuestFileError';
  readonly code: string;
  readonly path: string;

  constructor(verb: string, path: string, errno: number) {
    const { code, text } = linuxError(errno);
    super(`cannot ${verb} ${path} in the guest: ${text}`);
    this.code = code;
    this.path = path;
  }
}
