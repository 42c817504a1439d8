import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { FakeHypervisor } from '../testing/fake-hypervisor.ts';
import { Xenstored } from './xenstored.ts';

function section(title: string): string[][] {
  const text = readFileSync(new URL('./recorded-creation.txt', import.meta.url), 'utf8');
  const [, after = ''] = text.split(`[${title}`);
  const body = after.slice(after.indexOf('\n') + 1).split('\n\n')[0] ?? '';
  return body
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '));
}

it("the recorded requests of a domain's creation and boot give the recorded tree, key by key, with its permissions", () => {
  const hypervisor = new FakeHypervisor();
  hypervisor.add(1);
  const xenstored = new Xenstored(hypervisor);
  const clients = { 0: xenstored.client(), 1: xenstored.client({ domid: 1, privileged: false }) };
  const xs = clients[0];
  for (const [path = '', perms = '', ...value] of section('before')) {
    xs.write(path, value.join(' '));
    xs.setPerms(path, perms);
  }
  for (const [domid, operation, path = '', ...rest] of section('requests')) {
    const client = domid === '1' ? clients[1] : clients[0];
    if (operation === 'write') client.write(path, rest.join(' '));
    else if (operation === 'mkdir') client.mkdir(path);
    else if (operation === 'setperms') client.setPerms(path, rest.join(','));
    else client.rm(path);
  }
  const tree: string[][] = [];
  const visit = (path: string): void => {
    for (const name of xs.ls(path || '/') ?? []) {
      const child = `${path}/${name}`;
      tree.push(`${child} ${xs.getPerms(child) ?? ''} ${xs.read(child) ?? ''}`.trimEnd().split(' '));
      visit(child);
    }
  };
  visit('');
  assert.deepEqual(tree, section('after'));
});
