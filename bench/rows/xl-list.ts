import { liveGuest, median } from '../guest/boots.ts';
import type { Row } from '../row.ts';

const ROUNDS = 7;

export const row: Row = {
  name: 'xl.list',
  about: `xl list, a process of its own, with one guest: median of ${ROUNDS}`,
  unit: 'ms',
  better: 'lower',
  goal: 60,
  peers: {},
  async measure(note) {
    const { xenolith } = await liveGuest(note);
    const seconds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) seconds.push(await xenolith.xl('list'));
    return median(seconds) * 1000;
  },
};
