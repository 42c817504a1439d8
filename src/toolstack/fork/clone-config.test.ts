import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../config/parse-config.ts';
import { cloneConfig } from './clone-config.ts';

const parent = parseConfig(
  `name = "web"
type = "pv"
kernel = "/boot/vmlinuz"
memory = 64
uuid = "11111111-2222-3333-4444-555555555555"
vif = ["mac=00:16:3e:01:02:03,bridge=xenbr0"]
channel = ["connection=socket,path=/run/web.sock,name=agent", "connection=pty,name=other"]
`,
  'web.cfg',
  { cpus: 2 },
  () => undefined,
).config;

describe('the configuration of a clone', () => {
  it('has a name, UUID, MAC addresses and sockets of its own', () => {
    const taken = ['web-1', 'web-2'];
    const clone = cloneConfig(parent, {}, (name) => !taken.includes(name));
    assert.equal(clone.c_info.name, 'web-3');
    assert.match(clone.c_info.uuid ?? '', /^[0-9a-f-]{36}$/);
    assert.notEqual(clone.c_info.uuid, parent.c_info.uuid);
    const [nic] = clone.devices.nics ?? [];
    assert.deepEqual([nic?.['mac'], nic?.['bridge']], [undefined, 'xenbr0']);
    const paths = clone.devices.channels?.map((channel) => JSON.stringify(channel['connection.socket']));
    assert.deepEqual(paths, ['{"path":"/run/web.sock.web-3"}', undefined]);
    assert.equal(parent.devices.nics?.[0]?.['mac'], '00:16:3e:01:02:03');
  });

  it('is otherwise the same, with what was asked for', () => {
    const uuid = '99999999-2222-3333-4444-555555555555';
    const clone = cloneConfig(parent, { name: 'job', uuid }, () => true);
    assert.deepEqual([clone.c_info.name, clone.c_info.uuid], ['job', uuid]);
    assert.deepEqual(clone.b_info, parent.b_info);
  });
});
