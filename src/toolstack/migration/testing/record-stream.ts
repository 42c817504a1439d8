/**
 * bin/launch src/toolstack/migration/testing/record-stream.ts: writes an image of the domain of a few pages as this version saves it, for later versions to restore. To be run
 * when what is saved has changed; recorded-streams.test.ts has what to do then.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { MemorySink } from '../byte-stream.ts';
import { saveDomain } from '../libxc-save.ts';
import { writeLibxlStream } from '../libxl-stream.ts';
import { saveFileHeader } from '../save-file.ts';
import { FakePvDomain } from './fake-pv-domain.ts';

const sink = new MemorySink();
await sink.write([saveFileHeader('{ "c_info": { "type": "pv", "name": "kept" } }\n').bytes]);
await writeLibxlStream(sink, () => saveDomain(FakePvDomain.kernel(), sink, { xenVersion: { major: 4, minor: 17 } }));
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
const file = new URL(`../recorded-streams/${commit}.json`, import.meta.url);
const recorded = { commit, gzip: gzipSync(sink.bytes).toString('base64') };
writeFileSync(file, `${JSON.stringify(recorded, undefined, 2)}\n`);
console.log(`${file.pathname}: ${sink.bytes.length} bytes`);
