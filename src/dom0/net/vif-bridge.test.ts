import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Bridge } from './link.ts';
import { vifBridge } from './vif-bridge.ts';

const [xenbr0, internal] = [{ plug: () => undefined }, { plug: () => undefined }];
const known = new Map<string, Bridge>([
  ['xenbr0', xenbr0],
  ['internal', internal],
]);
const find = (keys: Readonly<Record<string, string>>): Bridge =>
  vifBridge({ bridge: (name) => known.get(name) }, { read: (key) => keys[key] });

it('finds the bridge that a vif names, or xenbr0', () => {
  assert.equal(find({}), xenbr0);
  assert.equal(find({ bridge: 'internal', script: '/etc/xen/scripts/vif-bridge' }), internal);
});

it('says what the script would say', () => {
  assert.throws(() => find({ bridge: 'xenbr7' }), /^Error: Could not find bridge device xenbr7$/);
  assert.throws(() => find({ script: 'mine' }), /there is no script mine; interfaces are connected by vif-bridge$/);
  assert.throws(() => find({ script: 'vif-route' }), /there is no script vif-route.*, which needs no gatewaydev/);
  assert.throws(() => vifBridge(undefined, { read: () => undefined }), /xenbr0/);
});
