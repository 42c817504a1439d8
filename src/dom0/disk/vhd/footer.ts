export const VHD_COOKIE = 'conectix';
