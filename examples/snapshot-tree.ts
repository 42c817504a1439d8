import { Host, images } from 'xenolith';

await using host = await Host.open();
await using root = await host.create({ ...(await images.busybox()), name: 'root' });
await root.files.write('/tmp/state', 'clean\n');

// A branch of the tree: what is done there is seen there.
await using clean = await root.snapshot();
await using broken = await clean.fork({ name: 'broken' });
await broken.exec(['sh', '-c', 'echo broken > /tmp/state; rm /bin/ls']);
console.log('broken:', await broken.files.readText('/tmp/state'));

// Rolled back: another one from the same moment, and a branch of that.
await using again = await clean.fork({ name: 'again' });
await again.files.write('/tmp/state', `${await again.files.readText('/tmp/state')}and set up\n`);
await using leaf = await again.fork({ name: 'leaf' });
console.log('leaf:', await leaf.files.readText('/tmp/state'));
console.log('root:', await root.files.readText('/tmp/state'));
console.log(host.guests.map(({ name }) => name).join(', '));
