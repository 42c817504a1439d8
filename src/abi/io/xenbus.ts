/** States of the two ends of a split device, in decimal in `state` of each end's directory. After xen/include/public/io/xenbus.h. */
export const XenbusState = {
  Unknown: 0,
  Initialising: 1,
  InitWait: 2, // features are published, the other end's parameters are awaited
  Initialised: 3, // parameters are published, the other end's connection is awaited
  Connected: 4,
  Closing: 5,
  Closed: 6,
  Reconfiguring: 7,
  Reconfigured: 8,
} as const;
export type XenbusState = (typeof XenbusState)[keyof typeof XenbusState];
export type XenbusStateName = keyof typeof XenbusState;

const names = new Map<number, XenbusStateName>(
  (Object.keys(XenbusState) as XenbusStateName[]).map((name) => [XenbusState[name], name]),
);

/** The state that a `state` node's text names; anything else, or no node, is Unknown, as frontends and backends read it. */
export function xenbusStateOf(text: string | undefined): XenbusStateName {
  if (text === undefined || !/^\d$/.test(text)) return 'Unknown';
  return names.get(Number(text)) ?? 'Unknown';
}
