/**
 * The pages of the npm API, docs/api, from the docstrings and types of what `import … from 'xenolith'` gives. `npm run docs` writes them; a test compares them, and fails
 * for what has no docstring.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import ts from 'typescript';
import {
  declared,
  docstring,
  exportsOf,
  isOurs,
  membersOf,
  oneLine,
  programOf,
  signature,
  typesOf,
  valueOf,
} from './api-declarations.ts';

const root = join(import.meta.dirname, '..');
const entry = join(root, 'src/host/node/xenolith.ts');
export const folder = join(root, 'docs/api');

/** What is on which page: the sources that declare it. */
const topics = [
  { page: 'host', title: 'Hosts', sources: ['xenolith', 'in-process-host', 'host-event', 'wait-options', 'control'] },
  { page: 'guest', title: 'Guests', sources: ['guest', 'guest-info'] },
  { page: 'config', title: 'What a guest is made of', sources: ['guest-config', 'egress-rules', 'sandbox'] },
  { page: 'console', title: 'Consoles', sources: ['guest-console'] },
  { page: 'programs', title: 'Programs in a guest', sources: ['guest-program'] },
  { page: 'files', title: 'Files in a guest', sources: ['guest-files', 'protocol', 'outflow'] },
  { page: 'devices', title: 'Disks and network interfaces', sources: ['guest-disks', 'guest-nics', 'egress'] },
  {
    page: 'moving',
    title: 'Snapshots, saving and moving',
    sources: ['guest-snapshot', 'save-guest', 'migrate-guest', 'transfer', 'transfer-progress'],
  },
  { page: 'images', title: 'Images to boot', sources: ['images', 'progress'] },
  { page: 'errors', title: 'Errors', sources: ['errors'] },
] as const;

/** Names that a program does not get, and what stands for them there. */
const shownAs: Readonly<Record<string, string>> = { InProcessHost: 'Host' };

export interface ApiReference {
  /** Texts by the names of their files. */
  readonly pages: ReadonlyMap<string, string>;
  /** What has no docstring, or is named in a type and not exported. */
  readonly missing: readonly string[];
}

export function apiReference(): ApiReference {
  const program = programOf(join(root, 'scripts/package-types.json'));
  const checker = program.getTypeChecker();
  const exported = new Map<string, { readonly symbol: ts.Symbol; readonly page: string }>();
  for (const symbol of exportsOf(program, checker, entry)) exported.set(symbol.name, { symbol, page: pageOf(symbol) });
  const missing: string[] = [];

  /** Its docstring; an empty one is noted. */
  function doc(node: ts.Node, name: string): string {
    const text = docstring(node);
    if (text === '') missing.push(`${name} has no docstring`);
    return text;
  }

  /** Names of the API in a piece of source, in the order of their appearance. */
  function namesIn(node: ts.Node): Set<string> {
    const names = new Set<string>();
    const visit = (part: ts.Node): void => {
      ts.forEachChild(part, visit);
      if (!ts.isTypeReferenceNode(part)) return;
      const name = part.typeName.getText();
      const shown = shownAs[name] ?? name;
      if (exported.has(shown)) names.add(shown);
      else if (isOurs(declared(checker, checker.getSymbolAtLocation(part.typeName))))
        missing.push(`${name} is not exported, but named in a type that is`);
    };
    visit(node);
    return names;
  }

  const linkTo = (name: string, from: string): string => {
    const page = exported.get(name)?.page ?? from;
    return `${page === from ? '' : `${page}.md`}#${name.toLowerCase()}`;
  };

  function seeAlso(nodes: readonly ts.Node[], from: string, own: string): string[] {
    const names = new Set(nodes.flatMap((node) => [...namesIn(node)]));
    names.delete(own);
    return names.size === 0 ? [] : [`See ${[...names].map((name) => `[${name}](${linkTo(name, from)})`).join(', ')}.`];
  }

  /** A type in a table's cell: code, with what is known as links. */
  function cell(type: ts.TypeNode, from: string): string {
    const names = namesIn(type);
    const parts = renamed(oneLine(type.getText())).split(/\b([A-Za-z]\w*)\b/);
    let code = '';
    let text = '';
    const flush = (): void => {
      if (code !== '') text += `\`${code.replaceAll('|', '\\|')}\``;
      code = '';
    };
    for (const part of parts) {
      if (names.has(part)) {
        flush();
        text += `[\`${part}\`](${linkTo(part, from)})`;
      } else code += part;
    }
    flush();
    return text;
  }

  function table(properties: readonly ts.PropertySignature[], owner: string, from: string): string {
    const rows = properties.map((property) => {
      const name = property.name.getText();
      const optional = property.questionToken === undefined ? '' : '?';
      const about = oneLine(doc(property, `${owner}.${name}`)).replaceAll('|', '\\|');
      return `| \`${name}${optional}\` | ${property.type === undefined ? '' : cell(property.type, from)} | ${about} |`;
    });
    return ['| member | type | |', '|---|---|---|', ...rows].join('\n');
  }

  /** A method, an accessor, a property or the constructor of a class, or a method of an interface. */
  function member(owner: string, declarations: readonly ts.Declaration[], from: string): string[] {
    const [first] = declarations;
    if (first === undefined) return [];
    const name = ts.isConstructorDeclaration(first) ? '' : (ts.getNameOfDeclaration(first)?.getText() ?? '');
    const path = name === '' ? `new ${owner}` : name.startsWith('[') ? `${owner}${name}` : `${owner}.${name}`;
    const called = declarations.some((declaration) => ts.isFunctionLike(declaration) && !ts.isAccessor(declaration));
    const each = declarations.flatMap((declaration) => [
      block(renamed(signature(declaration, checker))),
      doc(declaration, path),
    ]);
    return [`### ${path}${called ? '()' : ''}`, ...each, ...seeAlso(declarations.flatMap(typesOf), from, owner)];
  }

  /** It is told where the class or the interface is that has it. */
  function isOfAnother({ parent }: ts.Declaration, name: string): boolean {
    const owner = ts.isInterfaceDeclaration(parent) || ts.isClassDeclaration(parent) ? parent.name?.text : undefined;
    return owner !== undefined && owner !== name && exported.has(owner);
  }

  function inheritance(declaration: ts.Declaration, from: string): string[] {
    const clauses = ts.isInterfaceDeclaration(declaration) ? (declaration.heritageClauses ?? []) : [];
    const bases = clauses.flatMap(({ types }) => types.map(({ expression }) => expression.getText()));
    const links = bases.filter((base) => exported.has(base)).map((base) => `[${base}](${linkTo(base, from)})`);
    return links.length === 0 ? [] : [`It has the members of ${links.join(', ')} as well.`];
  }

  function section(name: string, symbol: ts.Symbol, from: string): string[] {
    const declaration = symbol.declarations?.find((node) => docstring(node) !== '') ?? symbol.declarations?.[0];
    if (declaration === undefined) return [];
    const stated = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    const heading = [`## ${name}`, doc(stated, name)];
    if (ts.isVariableDeclaration(declaration)) {
      const its = declaration.type === undefined ? ` = ${valueOf(declaration)}` : `: ${declaration.type.getText()}`;
      return [...heading, block(`const ${name}${its}`), ...seeAlso([declaration], from, name)];
    }
    if (ts.isTypeAliasDeclaration(declaration)) {
      const { type } = declaration;
      // Of words that are a list or a table in the sources the words are shown.
      const format = ts.TypeFormatFlags.InTypeAlias | ts.TypeFormatFlags.NoTruncation;
      const text = /\btypeof\b/.test(type.getText())
        ? checker.typeToString(checker.getTypeAtLocation(type), undefined, format)
        : type.getText();
      return [
        ...heading,
        block(`type ${name} =${text.startsWith('|') ? '\n  ' : ' '}${text}`),
        ...seeAlso([type], from, name),
      ];
    }
    const members = membersOf(checker, symbol).filter((list) => !list.some((its) => isOfAnother(its, name)));
    const properties = members.flatMap((list) => list.filter(ts.isPropertySignature));
    const rest = members.filter((list) => !list.some(ts.isPropertySignature));
    return [
      ...heading,
      ...inheritance(declaration, from),
      ...(properties.length === 0 ? [] : [table(properties, name, from)]),
      ...rest.flatMap((list) => member(name, list, from)),
    ];
  }

  const pages = new Map<string, string>();
  for (const { page, title } of topics) {
    const here = [...exported].filter(([, { page: its }]) => its === page);
    const text = here.flatMap(([name, { symbol }]) => section(name, symbol, page));
    pages.set(`${page}.md`, `${[`# ${title}`, ...text].join('\n\n')}\n`);
  }
  pages.set('README.md', indexPage([...exported].map(([name, { page }]) => ({ name, page }))));
  return { pages, missing: [...new Set(missing)] };
}

function indexPage(names: readonly { readonly name: string; readonly page: string }[]): string {
  const lines = topics.map(({ page, title }) => {
    const links = names
      .filter((its) => its.page === page)
      .map(({ name }) => `[${name}](${page}.md#${name.toLowerCase()})`);
    return `- [${title}](${page}.md): ${links.join(', ')}`;
  });
  const about = [
    "What `import … from 'xenolith'` gives; [programs.md](../programs.md) tells how it works together.",
    'These pages are made from the sources by `npm run docs`.',
  ];
  return `# The npm API\n\n${about.join(' ')}\n\n${lines.join('\n')}\n`;
}

function pageOf({ name, declarations = [] }: ts.Symbol): string {
  const source = basename(declarations[0]?.getSourceFile().fileName ?? '', '.ts');
  const topic = topics.find(({ sources }) => (sources as readonly string[]).includes(source));
  if (topic === undefined)
    throw new Error(`${name} of ${source}.ts is on no page: scripts/api-reference.ts has the list`);
  return topic.page;
}

const block = (code: string): string => `\`\`\`ts\n${code}\n\`\`\``;
const renamed = (text: string): string => text.replace(/\b[A-Z]\w*\b/g, (name) => shownAs[name] ?? name);

if (import.meta.main) {
  const { pages, missing } = apiReference();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of pages) writeFileSync(join(folder, name), text);
  for (const line of missing) console.error(line);
  process.exitCode = missing.length === 0 ? 0 : 1;
}
