/** After xen/include/public/version.h. */
import { bytes, struct, u32 } from './struct.ts';

export const XENVER = {
  version: 0,
  extraversion: 1,
  compile_info: 2,
  capabilities: 3,
  changeset: 4,
  platform_parameters: 5,
  get_features: 6,
  pagesize: 7,
  guest_handle: 8,
  commandline: 9,
  build_id: 10,
} as const;

export const EXTRAVERSION_LENGTH = 16;
export const CAPABILITIES_LENGTH = 1024;
export const CHANGESET_LENGTH = 64;
export const COMMANDLINE_LENGTH = 1024;

export const XenCompileInfo = struct(
  'xen_compile_info',
  { compiler: bytes(64), compile_by: bytes(16), compile_domain: bytes(32), compile_date: bytes(32) },
  144,
);
export const XenFeatureInfo = struct('xen_feature_info', { submap_idx: u32, submap: u32 }, 8);
