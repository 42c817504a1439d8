import { Host, images, sandbox } from 'xenolith';

const script = `
echo "I run on $(uname -sr), with $(nproc) processor."
rm -rf /etc /root                # of a copy that nobody else sees
ping -c 1 -W 1 192.0.2.1 2>&1    # its network leads nowhere
exit 3
`;

await using host = await Host.open();
// Booted once. Each script then gets a copy of it, which takes milliseconds to make.
await using guest = await host.create({ ...(await images.busybox()), ...sandbox, name: 'sandbox' });
await guest.exec(['true']);

await using copy = await guest.fork({ timeLimit: 60_000 });
const { stdout, stderr, exitCode } = await copy.exec(['sh', '-c', script], {
  cwd: '/tmp',
  signal: AbortSignal.timeout(10_000),
});
console.log(stdout, stderr, `exit code ${exitCode}`);
