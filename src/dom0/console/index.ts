export type { ConsoleClient } from './console-client.ts';
export { ConsoleDriver, type ConsoleDriverServices, type Listener } from './console-driver.ts';
export { Consoles, type ConsolesOptions } from './consoles.ts';
export type { Pty } from './console-terminal.ts';
export type { AttachFrom, DomainConsole } from './domain-console.ts';
export type { LogSink } from './guest-log.ts';
export { formatted, type LogFormat } from './log-format.ts';
export type { ScrollBack } from './scroll-back.ts';
