/** Compiles only while this room sees neither the browser nor Node; never imported. See tsconfig.json in this folder. */

// @ts-expect-error: the DOM is not there
export type NoDom = typeof document;
// @ts-expect-error: Node's globals are not there
export type NoNode = typeof process;
// @ts-expect-error: nor are its modules
export type NoFiles = typeof import('node:fs');
