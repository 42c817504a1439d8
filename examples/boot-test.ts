import { Host, images } from 'xenolith';

const boots = 3;
const kernel = await images.busybox(); // or { kernel: 'vmlinuz', ramdisk: 'initrd.img', memory: 256, cmdline: 'console=hvc0' }

await using host = await Host.open();
let failures = 0;
for (let boot = 1; boot <= boots; boot++) {
  await using guest = await host.create({ ...kernel, name: `boot-${boot}`, onReboot: 'destroy' });
  const began = performance.now();
  try {
    await guest.console.waitFor('xenolith:', { signal: AbortSignal.timeout(300_000) });
    const oops = /^.*(?:Oops|BUG:|Call Trace).*$/m.exec(guest.console.history);
    if (oops !== null) throw new Error(oops[0]);
    await guest.shutdown({ signal: AbortSignal.timeout(60_000) });
    console.log(`boot ${boot}: passed in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    failures += 1;
    console.log(`boot ${boot}: failed: ${String(error)}`);
    console.log(guest.console.history, host.messages());
  }
}
console.log(`${boots - failures} of ${boots} boots passed`);
process.exitCode = failures === 0 ? 0 : 1;
