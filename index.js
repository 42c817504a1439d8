/**
 * The entry of the npm package, in the JavaScript of any Node, so that one that is too old is told so in a sentence. In the repository it leads to the sources,
 * which Node runs as they are; in a package, where Node runs no TypeScript, to what `npm pack` has made of them.
 */
import { existsSync } from 'node:fs';

const LEAST = 26;

if (Number.parseInt(process.versions.node, 10) < LEAST) {
  throw new Error(
    `xenolith needs Node.js ${LEAST} or newer, and this is ${process.versions.node}; the one that it brings along is started by "npx node FILE", or by bin/launch FILE in the repository`,
  );
}

const sources = new URL('./src/host/node/xenolith.ts', import.meta.url);
const bundle = new URL('./dist/lib/xenolith.js', import.meta.url);

export const { Host, images, sandbox, XenolithError } = await import((existsSync(sources) ? sources : bundle).href);
