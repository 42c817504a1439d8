import { guestImage, MEMORY_MIB } from '../comparison/guest-image.ts';
import { Xenolith } from '../guest/xenolith.ts';
import type { Peer } from './peer.ts';
import { guard } from './processes.ts';
import { withShare } from './processor-share.ts';
import { GUEST_VARIABLES } from './serial-machine.ts';

export const xenolith: Peer = {
  name: 'xenolith',
  title: 'Xenolith',
  about: 'this: a PV domain made by xl create, under a daemon of its own',
  async start(note) {
    const daemon = await Xenolith.start(note, { files: await guestImage('amd64', note), memory: MEMORY_MIB });
    const release = guard(daemon.pid);
    const stop = async (): Promise<void> => {
      await daemon.close();
      release();
    };
    try {
      const guest = await daemon.create();
      const init = await guest.init();
      await guest.shell();
      await guest.run(GUEST_VARIABLES);
      return {
        init,
        run: (command, patienceMs) => withShare(daemon.pid, () => guest.timed(command, patienceMs)),
        stop,
      };
    } catch (error) {
      await stop().catch(() => undefined);
      throw error;
    }
  },
};
