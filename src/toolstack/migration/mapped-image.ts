/** A saved domain's file whose pages come under a new domain's memory without being read: the domain runs sooner, and reads what it uses. */

export interface MappedImage {
  /** The file's bytes from `offset` on, whole pages, become the contents of `target`, a part of a domain's memory. False when they have to be read. */
  map(target: Uint8Array, offset: number): boolean;
  /** Nothing more is mapped, and the domain may run: what it has not used is read in the background. Nobody else can change the file until it is given up. */
  settle(owner: ImageOwner): void;
  /** The file is not needed any more: the domain is gone, or has not been made. */
  giveUp(): void;
}

/** The domain whose memory it is. */
export interface ImageOwner {
  /** Does the work while nobody writes to the domain's memory. */
  standStill(work: () => void): Promise<void>;
  onError(error: unknown): void;
}

/** Of an open file; undefined where the platform cannot map it, or where somebody could change or cut it meanwhile. */
export type MapImage = (fd: number) => MappedImage | undefined;
