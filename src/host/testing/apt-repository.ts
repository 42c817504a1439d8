/** A small archive of Debian packages on the host, from which a guest's apt installs: packages that the machine's own apt fetched, behind an HTTP server. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Apt } from '../../toolstack/guest-files/apt.ts';
import { Cache } from '../../toolstack/guest-files/cache.ts';
import { noProgress } from '../../toolstack/guest-files/progress.ts';

/** What the tests install: they share one archive. */
export const testPackages = ['fio', 'iperf3'] as const;

/** What apt asks for, relative to the archive's address, where all the files are (sources.list(5), "exact path"). */
const INDEX = 'Packages';
const RELEASE = 'Release';

export class AptRepository {
  /** Where the packages are, for whoever wants them without apt. */
  readonly folder: string;
  readonly #server = createServer();
  /** Of the packages' files alone. */
  bytesServed = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** With all that the packages need, from nothing; kept in the cache. */
  static async with(names: readonly string[]): Promise<AptRepository> {
    const cache = new Cache();
    const key = createHash('sha256').update(names.join(' ')).digest('hex').slice(0, 32);
    const { folder } = await cache.get(`test-archive/v2/${key}`, async (draft) => {
      const apt = new Apt(cache, 'amd64', noProgress);
      await apt.downloadAll(names, await apt.resolve(names), draft);
      await writeIndex(draft);
      return {};
    });
    const made = new AptRepository(folder);
    made.#server.on('request', made.#answer);
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    return made;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The line of sources.list for a guest to which the host has this address. It is signed by nobody. */
  sourceAt(host: string): string {
    return `deb [trusted=yes] http://${host}:${this.port}/ ./`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  readonly #answer: RequestListener = (request, response) => {
    const name = decodeURIComponent(new URL(request.url ?? '', 'http://archive').pathname).replace(/^\/(\.\/)?/, '');
    const path = join(this.folder, name);
    void (/^[\w.+~:%-]+$/.test(name) ? stat(path).catch(() => undefined) : Promise.resolve(undefined)).then((file) => {
      if (file === undefined) {
        response.writeHead(404).end();
        return;
      }
      if (name.endsWith('.deb')) this.bytesServed += file.size;
      response.writeHead(200, { 'Content-Length': file.size });
      createReadStream(path).pipe(response);
    });
  };
}

/** As dpkg-scanpackages and apt-ftparchive write them (deb822(5); Debian's wiki, "DebianRepository/Format"). */
async function writeIndex(folder: string): Promise<void> {
  const stanzas: string[] = [];
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.deb')).sort()) {
    const path = join(folder, name);
    const control = execFileSync('dpkg-deb', ['--field', path], { encoding: 'utf8' }).trimEnd();
    const file = await readFile(path);
    stanzas.push(`${control}\nFilename: ./${name}\nSize: ${file.length}\nSHA256: ${sha256(file)}\n`);
  }
  const index = stanzas.join('\n');
  await writeFile(join(folder, INDEX), index);
  const line = ` ${sha256(Buffer.from(index))} ${Buffer.byteLength(index)} ${INDEX}`;
  await writeFile(join(folder, RELEASE), `Suite: test\nDate: ${new Date().toUTCString()}\nSHA256:\n${line}\n`);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
