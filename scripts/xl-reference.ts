/** Writes docs/xl-commands.md and docs/man/xl.1 from the tables of xl's commands. A test compares them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manualPage, markdownPage } from '../src/toolstack/xl/reference.ts';

const docs = join(import.meta.dirname, '../docs');
mkdirSync(join(docs, 'man'), { recursive: true });
writeFileSync(join(docs, 'xl-commands.md'), markdownPage());
writeFileSync(join(docs, 'man/xl.1'), manualPage());
