/** Xenstore paths: checked once where they come in, lists of names from then on. */
import { XENSTORE_REL_PATH_MAX } from '../../abi/io/xs-wire.ts';

/** The names from the root down; the root itself is the empty list. */
export type Path = readonly string[];

/** What is allowed by docs/misc/xenstore.txt: no empty name, so neither `//` nor a slash at the end. */
const valid = /^(?:\/|\/?[\w@-]+(?:\/[\w@-]+)*)$/;
/** The part of a path that the limit for paths does not count: xenstored reads five digits. */
const domainPrefix = /^\/local\/domain\/\d{1,5}\//;

export const specialNodes = ['@introduceDomain', '@releaseDomain'] as const;
export type SpecialNode = (typeof specialNodes)[number];

/** Names that begin so are no nodes. They can be watched; those that xenstored knows have permissions as well. */
export function isSpecial(text: string): boolean {
  return text.startsWith('@');
}

/** Where the permissions of a special name are kept. */
export function specialPath(text: string): Path | undefined {
  return (specialNodes as readonly string[]).includes(text) ? [text] : undefined;
}

/** The directory that relative paths of a domain begin at. */
export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

/** A path as a client of domain `domid` gives it; undefined when it is malformed or too long. */
export function parsePath(text: string, domid: number, longest: number = XENSTORE_REL_PATH_MAX): Path | undefined {
  if (isSpecial(text) || !valid.test(text)) return undefined;
  const absolute = text.startsWith('/') ? text : `${domainPath(domid)}/${text}`;
  if (absolute.replace(domainPrefix, '').length > longest) return undefined;
  return absolute === '/' ? [] : absolute.slice(1).split('/');
}

export function formatPath(path: Path): string {
  return `/${path.join('/')}`;
}
