import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { xenDevices } from '../peers/xen-devices.ts';
import { createCommand } from '../peers/xen-dom0.ts';
import { deviceWorkloads } from './device-workloads.ts';
import { deviceWords, startScript, virtioDrivers } from './guest-devices.ts';

describe('the devices of a guest', () => {
  it('are words on the kernel’s command line', () => {
    assert.equal(deviceWords({}), '');
    assert.equal(
      deviceWords({ virtio: true, addresses: ['10.0.2.15', '192.168.77.1'], serves: true }),
      'bench.virtio bench.eth0=10.0.2.15 bench.eth1=192.168.77.1 bench.serve',
    );
  });

  it('have their drivers loaded after those that they need', () => {
    const script = Buffer.from(startScript['/etc/rc.local']?.content ?? []).toString();
    assert.match(script, /for driver in virtio_ring virtio /);
    const [pci, modern] = [virtioDrivers.indexOf('virtio_pci'), virtioDrivers.indexOf('virtio_pci_modern_dev')];
    assert.ok(pci > modern);
  });

  it('are made by real xl for the guests beside the measured one first, which gets the console', () => {
    assert.equal(createCommand(xenDevices.bare), 'xl create -c /guest/guest0.cfg');
    assert.equal(createCommand(xenDevices.network), 'xl create -q /guest/guest1.cfg; xl create -c /guest/guest0.cfg');
  });
});

describe('the workloads of devices', () => {
  it('say which machine they want, and name the device that they use', () => {
    for (const { name, equipment, command } of deviceWorkloads) {
      const uses = { bare: /^$/, disk: /\$D\b/, network: /\$[HG]\b/ }[equipment ?? 'bare'];
      assert.match(command?.(1) ?? '', uses, name);
      assert.equal(name.split('.')[0], equipment === 'disk' ? 'disk' : 'net');
    }
  });
});
