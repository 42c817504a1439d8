/** One figure that `npm run bench` reports. Names are stable: others keep histories by them. */
export interface Row {
  readonly name: string;
  /** What is measured, and how, in one line for a person. */
  readonly about: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** What the project wants to reach; the bench says whether it does. */
  readonly goal: number;
  /** The same figure for others, measured on a machine of the reference kind (docs/performance.md). */
  readonly peers: Readonly<Record<string, number>>;
  /** `note` reports progress on steps that take long. */
  measure(note: (text: string) => void): Promise<number>;
}
