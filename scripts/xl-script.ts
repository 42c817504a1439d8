/** All of xl as one script: for checkouts (bundle.ts) and for the npm package (package-bundle.ts), which differ in where files lie. */
import { build, type Plugin } from 'esbuild-wasm';
import { root } from './bundle-sources.ts';

/** Of CommonJS, whose modules are loaded where they are asked for: most commands need few of Node's. */
const xl = `
import { run } from './src/toolstack/xl/run.ts';
void run(process.argv.slice(2), {
  out: (text: string) => void process.stdout.write(text),
  err: (line: string) => void process.stderr.write(line + '\\n'),
  env: process.env,
}).then((code: number) => process.exit(code));
`;

export interface XlScript {
  readonly contents: Uint8Array;
  /** What it was made of, from the root. */
  readonly sources: readonly string[];
}

/** @param places tells modules where they are, by what `banner` declares */
export async function xlScript(places: Plugin, banner: string): Promise<XlScript> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: xl, resolveDir: root, loader: 'ts' },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'cjs',
    target: 'es2024',
    plugins: [places],
    banner: { js: banner },
    metafile: true,
    write: false,
    logLevel: 'error',
  });
  const sources = Object.keys(metafile.inputs).filter((path) => path !== '<stdin>');
  return { contents: outputFiles[0]?.contents ?? new Uint8Array(), sources };
}
