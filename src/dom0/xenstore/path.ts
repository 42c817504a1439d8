/** Xenstore paths: checked once where they come in, lists of names from then on. */
import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX } from '../../abi/io/xs-wire.ts';

/** The names from the root down; the root itself is the empty list. */
export type Path = readonly string[];

/** What is allowed by docs/misc/xenstore.txt: no empty name, so neither `//` nor a slash at the end. */
const valid = /^(?:\/|\/?[\w@-]+(?:\/[\w@-]+)*)$/;
/** The domain's own part of a path is what the limit for guests measures. */
const domainPrefix = /^\/local\/domain\/\d+\//;

export function isSpecial(text: string): boolean {
  return text.startsWith('@');
}

/** The directory that relative paths of a domain begin at. */
export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

/** A path as a client of domain `domid` gives it; undefined when it is malformed or too long. */
export function parsePath(text: string, domid: number): Path | undefined {
  if (!valid.test(text)) return undefined;
  const absolute = text.startsWith('/') || isSpecial(text) ? text : `${domainPath(domid)}/${text}`;
  if (absolute.length > XENSTORE_ABS_PATH_MAX) return undefined;
  if (absolute.replace(domainPrefix, '').length > XENSTORE_REL_PATH_MAX) return undefined;
  if (isSpecial(text)) return text.includes('/') ? undefined : [text];
  return absolute === '/' ? [] : absolute.slice(1).split('/');
}

export function formatPath(path: Path): string {
  return `/${path.join('/')}`;
}
