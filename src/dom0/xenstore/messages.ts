/** Every request a client can make. After docs/misc/xenstore.txt; a type that has no row is answered with ENOSYS. */
import { XENSTORE_PAYLOAD_MAX, XsMessage, type XsError } from '../../abi/io/xs-wire.ts';
import { directory, getPerms, isXsError, mkdir, read, rm, setPerms, write } from './operations.ts';
import { domainPath, type Path } from './path.ts';
import { formatPermissions, parsePermissions } from './permissions.ts';
import type { Session } from './session.ts';
import { generationOf } from './tree.ts';
import type { View } from './view.ts';
import { bytesOf, joinStrings, splitStrings } from './wire.ts';

export interface Request {
  readonly session: Session;
  /** The store, or the transaction that the request belongs to. */
  readonly view: View;
  readonly txId: number;
}
/** Undefined stands for the reply `OK`. */
type Reply = Uint8Array | undefined | XsError;

export interface MessageRow {
  readonly name: string;
  /** Only for domain 0; others get EACCES. */
  readonly privileged: boolean;
  /** Whether the request may belong to a transaction, or has its tx_id ignored. */
  readonly transaction: 'allowed' | 'ignored';
  readonly run: (request: Request, payload: Uint8Array) => Reply;
}

type Name = keyof typeof XsMessage;
type Row = Omit<MessageRow, 'name'>;

/** Requests on nodes: rows of the first kind take a path alone. */
const onPath = (run: (request: Request, path: Path) => Reply): Row =>
  strings(1, 1, ([text = ''], request) => {
    const path = request.session.path(text);
    return path ? run(request, path) : 'EINVAL';
  });
/** Requests that consist of `min` to `max` strings. */
function strings(min: number, max: number, run: (args: string[], request: Request) => Reply): Row {
  return {
    privileged: false,
    transaction: 'allowed',
    run(request, payload) {
      const args = splitStrings(payload);
      return args && args.length >= min && args.length <= max ? run(args, request) : 'EINVAL';
    },
  };
}
/** Requests of domain 0 about domains: `numbers` decimal arguments. */
function aboutDomain(numbers: number, run: (args: number[], session: Session) => Reply): Row {
  const row = strings(numbers, numbers + 1, (args, { session }) => {
    const values = args.slice(0, numbers).map(decimal);
    return values.every((value) => value !== undefined) ? run(values, session) : 'EINVAL';
  });
  return { ...row, privileged: true, transaction: 'ignored' };
}

const rows: Partial<Record<Name, Row>> = {
  XS_DIRECTORY: onPath(({ session, view }, path) => {
    const found = directory(view, session.caller, path);
    return isXsError(found) ? found : joinStrings(found.names);
  }),
  XS_DIRECTORY_PART: strings(2, 2, ([text = '', offset = ''], { session, view }) => {
    const path = session.path(text);
    const from = decimal(offset);
    if (!path || from === undefined) return 'EINVAL';
    const found = directory(view, session.caller, path);
    return isXsError(found) ? found : directoryPart(generationOf(found.node), found.names, from);
  }),
  XS_READ: onPath(({ session, view }, path) => read(view, session.caller, path)),
  XS_WRITE: {
    privileged: false,
    transaction: 'allowed',
    run({ session, view }, payload) {
      const end = payload.indexOf(0); // the value is whatever follows, and need not end in NUL
      if (end < 0) return 'EINVAL';
      const path = session.path(textUpTo(payload, end));
      return path ? write(view, session.caller, path, payload.slice(end + 1)) : 'EINVAL';
    },
  },
  XS_MKDIR: onPath(({ session, view }, path) => mkdir(view, session.caller, path)),
  XS_RM: onPath(({ session, view }, path) => rm(view, session.caller, path)),
  XS_GET_PERMS: onPath(({ session, view }, path) => {
    const perms = getPerms(view, session.caller, path);
    return isXsError(perms) ? perms : joinStrings(formatPermissions(perms));
  }),
  XS_SET_PERMS: strings(2, Infinity, ([text = '', ...entries], { session, view }) => {
    const path = session.path(text);
    const perms = parsePermissions(entries);
    return path && perms ? setPerms(view, session.caller, path, perms) : 'EINVAL';
  }),
  XS_WATCH: {
    ...strings(2, 3, ([path = '', token = ''], { session }) => session.addWatch(path, token)),
    transaction: 'ignored',
  },
  XS_UNWATCH: {
    ...strings(2, 3, ([path = '', token = ''], { session }) => session.removeWatch(path, token)),
    transaction: 'ignored',
  },
  XS_RESET_WATCHES: {
    privileged: false,
    transaction: 'ignored',
    run: ({ session }) => void session.reset(),
  },
  XS_TRANSACTION_START: {
    privileged: false,
    transaction: 'allowed',
    run({ session, txId }) {
      if (txId !== 0) return 'EBUSY';
      const id = session.beginTransaction();
      return isXsError(id) ? id : joinStrings([String(id)]);
    },
  },
  XS_TRANSACTION_END: strings(1, 1, ([verdict], { session, txId }) =>
    verdict === 'T' || verdict === 'F' ? session.endTransaction(txId, verdict === 'T') : 'EINVAL',
  ),
  XS_GET_DOMAIN_PATH: strings(1, 1, ([text = '']) => {
    const domid = decimal(text);
    return domid === undefined ? 'EINVAL' : joinStrings([domainPath(domid)]);
  }),
  XS_IS_DOMAIN_INTRODUCED: strings(1, 1, ([text = ''], { session }) => {
    const domid = decimal(text);
    return domid === undefined ? 'EINVAL' : joinStrings([session.host.domains.isIntroduced(domid) ? 'T' : 'F']);
  }),
  XS_INTRODUCE: aboutDomain(3, ([domid = 0, mfn = 0, port = 0], { host }) => host.domains.introduce(domid, mfn, port)),
  XS_RELEASE: aboutDomain(1, ([domid = 0], { host }) => host.domains.release(domid)),
  XS_RESUME: aboutDomain(1, ([domid = 0], { host }) => host.domains.resume(domid)),
  XS_SET_TARGET: aboutDomain(2, ([domid = 0, target = 0], { host }) => host.domains.setTarget(domid, target)),
  XS_CONTROL: {
    ...strings(1, Infinity, ([command = '', ...args], { session }) => {
      const text = session.host.control(command, args);
      return text === undefined ? 'EINVAL' : joinStrings([text]);
    }),
    privileged: true,
    transaction: 'ignored',
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
  if (list.length - from <= room) return bytesOf(`${head}${list.slice(from)}${from <= list.length ? '\0' : ''}`);
  const end = list.lastIndexOf('\0', from + room - 1) + 1;
  return bytesOf(head + list.slice(from, Math.max(end, from)));
}

function decimal(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

function textUpTo(payload: Uint8Array, end: number): string {
  return String.fromCharCode(...payload.subarray(0, end));
}
