import { XenError } from '../xen-error.ts';

/** A guest's files could not be fetched or made. */
export class GuestFilesError extends XenError {
  override readonly name = 'GuestFilesError';
}
