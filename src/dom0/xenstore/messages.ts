/** Every request a client can make. After docs/misc/xenstore.txt; a type that has no row is answered with ENOSYS. */
import { XENSTORE_PAYLOAD_MAX, XsMessage, type XsError } from '../../abi/io/xs-wire.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import { atoi } from './atoi.ts';
import { directory, getPerms, isXsError, mkdir, read, readPermissions, rm, setPerms, write } from './operations.ts';
import { domainPath, specialPath, type Path } from './path.ts';
import { formatPermissions } from './permissions.ts';
import type { Session } from './session.ts';
import { generationOf } from './tree.ts';
import type { View } from './view.ts';
import { bytesOf, joinStrings, leadingStrings, onlyString, textOf } from './wire.ts';

export interface Request {
  readonly session: Session;
  /** The store, or the transaction that the request belongs to. */
  readonly view: View;
  readonly txId: number;
}
/** Undefined stands for the reply `OK`. */
export type Reply = Uint8Array | undefined | XsError;

export interface MessageRow {
  readonly name: string;
  /** Only for domain 0; others get EACCES. */
  readonly privileged?: true;
  /** Its tx_id is ignored, whatever it is. Other requests with one need a transaction of that number. */
  readonly ignoresTransaction?: true;
  /** Changes the store. */
  readonly writes?: true;
  readonly run: (request: Request, payload: Uint8Array) => Reply;
}

type Name = keyof typeof XsMessage;
type Row = Omit<MessageRow, 'name'>;

/** Requests on nodes: a path alone. */
const onPath = (run: (request: Request, path: Path) => Reply): Row => ({
  run(request, payload) {
    const text = onlyString(payload);
    const path = text === undefined ? undefined : request.session.path(text);
    return path ? run(request, path) : 'EINVAL';
  },
});
/** Requests that begin with `min` strings, up to `max`. What follows the last NUL is reserved (docs/misc/xenstore.txt). */
const strings = (min: number, max: number, run: (args: string[], request: Request) => Reply): Row => ({
  run(request, payload) {
    const args = leadingStrings(payload);
    return args.length >= min && args.length <= max ? run(args, request) : 'EINVAL';
  },
});
/** Requests of domain 0 about one domain, which is not domain 0. */
const aboutDomain = (run: (domid: number, session: Session) => Reply): Row => ({
  privileged: true,
  run({ session }, payload) {
    const domid = atoi(onlyString(payload) ?? '');
    return domid === 0 ? 'EINVAL' : run(domid, session);
  },
});

const rows: Partial<Record<Name, Row>> = {
  XS_DIRECTORY: onPath(({ session, view }, path) => {
    const found = directory(view, session.caller, path);
    return isXsError(found) ? found : joinStrings(found.names);
  }),
  XS_DIRECTORY_PART: strings(2, 2, ([text = '', offset = ''], { session, view }) => {
    const path = session.path(text);
    if (!path) return 'EINVAL';
    const found = directory(view, session.caller, path);
    return isXsError(found) ? found : directoryPart(generationOf(found.node), found.names, atoi(offset) >>> 0);
  }),
  XS_READ: onPath(({ session, view }, path) => read(view, session.caller, path)),
  XS_WRITE: {
    writes: true,
    run({ session, view }, payload) {
      const end = payload.indexOf(0); // the value is whatever follows, and need not end in NUL
      if (end < 0) return 'EINVAL';
      const path = session.path(textOf(payload.subarray(0, end)));
      return path ? write(view, session.caller, path, payload.slice(end + 1)) : 'EINVAL';
    },
  },
  XS_MKDIR: { ...onPath(({ session, view }, path) => mkdir(view, session.caller, path)), writes: true },
  XS_RM: { ...onPath(({ session, view }, path) => rm(view, session.caller, path)), writes: true },
  XS_GET_PERMS: onPath(({ session, view }, path) => {
    const perms = getPerms(view, session.caller, path);
    return isXsError(perms) ? perms : joinStrings(formatPermissions(perms));
  }),
  XS_SET_PERMS: {
    ...strings(2, Infinity, ([text = '', ...entries], { session, view }) => {
      const perms = readPermissions(view, session.caller, entries);
      if (isXsError(perms)) return perms;
      const path = specialPath(text) ?? session.path(text);
      return path ? setPerms(view, session.caller, path, perms) : 'EINVAL';
    }),
    writes: true,
  },
  XS_WATCH: {
    ...strings(2, 3, ([path = '', token = '', depth], { session }) => {
      const levels = depth === undefined ? undefined : atoi(depth);
      return levels !== undefined && levels < 0 ? 'EINVAL' : session.addWatch(path, token, levels);
    }),
    ignoresTransaction: true,
  },
  XS_UNWATCH: {
    ...strings(2, 2, ([path = '', token = ''], { session }) => session.removeWatch(path, token)),
    ignoresTransaction: true,
  },
  XS_RESET_WATCHES: { run: ({ session }) => void session.reset() },
  XS_TRANSACTION_START: {
    run({ session, txId }) {
      if (txId !== 0) return 'EBUSY';
      const id = session.beginTransaction();
      return isXsError(id) ? id : joinStrings([String(id)]);
    },
  },
  XS_TRANSACTION_END: {
    run({ session, txId }, payload) {
      const verdict = onlyString(payload);
      return verdict === 'T' || verdict === 'F' ? session.endTransaction(txId, verdict === 'T') : 'EINVAL';
    },
  },
  XS_GET_DOMAIN_PATH: {
    run(_, payload) {
      const text = onlyString(payload);
      return text === undefined ? 'EINVAL' : joinStrings([domainPath(atoi(text) >>> 0)]);
    },
  },
  XS_IS_DOMAIN_INTRODUCED: {
    privileged: true,
    run({ session }, payload) {
      const text = onlyString(payload);
      if (text === undefined) return 'EINVAL';
      const domid = atoi(text);
      return joinStrings([domid === DOMID_SELF || session.host.domains.isIntroduced(domid) ? 'T' : 'F']);
    },
  },
  XS_INTRODUCE: {
    ...strings(3, Infinity, ([domid = '', mfn = '', port = ''], { session }) =>
      atoi(port) <= 0 ? 'EINVAL' : session.host.domains.introduce(atoi(domid), atoi(mfn), atoi(port)),
    ),
    privileged: true,
  },
  XS_RELEASE: aboutDomain((domid, { host }) => host.domains.release(domid)),
  XS_RESUME: aboutDomain((domid, { host }) => host.domains.resume(domid)),
  XS_SET_TARGET: {
    ...strings(2, Infinity, ([domid = '', target = ''], { session }) =>
      session.host.domains.setTarget(atoi(domid), atoi(target)),
    ),
    privileged: true,
  },
  XS_CONTROL: {
    ...strings(1, Infinity, ([command = '', ...args], { session }) => session.host.control(command, args)),
    privileged: true,
  },
};

/** By number. */
export const messages: ReadonlyMap<number, MessageRow> = new Map(
  (Object.keys(rows) as Name[]).flatMap((name) => {
    const row = rows[name];
    return row ? [[XsMessage[name], { name, ...row }] as const] : [];
  }),
);

/** A list too long for one reply, from a byte offset on: whole names as far as they fit, and an empty one after the last. */
function directoryPart(generation: number, names: readonly string[], from: number): Uint8Array {
  const head = `${generation}\0`;
  const list = names.map((name) => `${name}\0`).join('');
  const room = XENSTORE_PAYLOAD_MAX - head.length - 1;
  if (list.length - from <= room) return bytesOf(`${head}${list.slice(from)}\0`);
  const end = list.lastIndexOf('\0', from + room - 1) + 1;
  return bytesOf(head + list.slice(from, Math.max(end, from)));
}
