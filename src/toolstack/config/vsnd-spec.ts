/**
 * Sound cards: `vsnd = [[ 'CARD, short-name=…', 'PCM, name=…', 'STREAM, unique-id=…, type=P' ]]` (xl.cfg(5), "VSND"; names of the parameters:
 * xen/include/public/io/sndif.h).
 */
import { ConfigError } from './config-error.ts';
import type { Device } from './domain-config.ts';
import { enumeration } from './enumeration.ts';
import type { Value } from './grammar.ts';
import type { JsonObject } from './json.ts';
import { strtou32 } from './numbers.ts';

const formatNames = (
  'S8 U8 S16_LE S16_BE U16_LE U16_BE S24_LE S24_BE U24_LE U24_BE S32_LE S32_BE U32_LE U32_BE F32_LE F32_BE F64_LE F64_BE ' +
  'IEC958_SUBFRAME_LE IEC958_SUBFRAME_BE MU_LAW A_LAW IMA_ADPCM MPEG GSM'
)
  .toLowerCase()
  .split(' ');

interface Params {
  sample_rates?: readonly number[];
  sample_formats?: readonly string[];
  channels_min?: number;
  channels_max?: number;
  buffer_size?: number;
}

interface Stream {
  unique_id?: string;
  type?: string;
  params: Params;
}

interface Pcm {
  name?: string;
  params: Params;
  streams: Stream[];
}

interface Card {
  backend_domname?: string;
  short_name?: string;
  long_name?: string;
  params: Params;
  pcms: Pcm[];
}

/** What items are about; a stream before any PCM device makes one. */
type Item = 'card' | 'pcm' | 'stream';

export function parseVsnd(value: Value, devid: number | undefined): Device {
  if (typeof value === 'string') throw new ConfigError('Failed to get vsnd card list: Invalid argument');
  const items = value.filter((item) => typeof item === 'string');
  return parseVsndItems(items, devid);
}

export function parseVsndItems(items: readonly string[], devid: number | undefined): Device {
  const card: Card = { params: {}, pcms: [] };
  for (const item of items) parseItem(card, item);
  const { backend_domname, short_name, long_name, params, pcms } = card;
  return {
    ...(backend_domname === undefined ? {} : { backend_domname }),
    ...(devid === undefined ? {} : { devid }),
    ...(short_name === undefined ? {} : { short_name }),
    ...(long_name === undefined ? {} : { long_name }),
    params: paramsToJson(params),
    ...(pcms.length === 0 ? {} : { pcms: pcms.map(pcmToJson) }),
  };
}

function parseItem(card: Card, text: string): void {
  const [key, ...tokens] = text
    .split(',')
    .filter((token) => token !== '')
    .map((token) => token.replace(/^ +/, ''));
  if (key === undefined) return;
  const kind = key.toLowerCase();
  if (kind !== 'card' && kind !== 'pcm' && kind !== 'stream') throw new ConfigError(`Invalid key: ${key}`);
  if (kind === 'pcm' || (kind === 'stream' && card.pcms.length === 0)) card.pcms.push({ params: {}, streams: [] });
  const pcm = card.pcms.at(-1);
  const stream: Stream = { params: {} };
  if (kind === 'stream') pcm?.streams.push(stream);
  for (const token of tokens) parseToken(kind, token, card, pcm, stream);
}

function parseToken(kind: Item, token: string, card: Card, pcm: Pcm | undefined, stream: Stream): void {
  const equals = token.indexOf('=');
  const [key, value] = equals < 0 ? [token, ''] : [token.slice(0, equals), token.slice(equals + 1)];
  const params = kind === 'card' ? card.params : kind === 'pcm' ? pcm?.params : stream.params;
  if (params !== undefined && equals >= 0 && parseParam(params, key, value)) return;
  const known = equals >= 0;
  if (known && kind === 'card' && key === 'backend') card.backend_domname = value;
  else if (known && kind === 'card' && key === 'short-name') card.short_name = value;
  else if (known && kind === 'card' && key === 'long-name') card.long_name = value;
  else if (known && kind === 'pcm' && key === 'name' && pcm !== undefined) pcm.name = value;
  else if (known && kind === 'stream' && key === 'unique-id') stream.unique_id = value;
  else if (known && kind === 'stream' && key === 'type') stream.type = streamType(value);
  else throw new ConfigError(`Invalid parameter: ${token}`);
}

function streamType(value: string): string {
  const type = enumeration(['p', 'c'], value);
  if (type === undefined) throw new ConfigError(`Invalid stream type: ${value}`);
  return type;
}

function parseParam(params: Params, key: string, value: string): boolean {
  const words = value.split(';').filter((word) => word !== '');
  switch (key) {
    case 'sample-rates':
      params.sample_rates = words.map(strtou32);
      return true;
    case 'sample-formats':
      params.sample_formats = words.map((word) => {
        const format = enumeration(formatNames, word);
        if (format === undefined) throw new ConfigError(`Invalid pcm format: ${word}`);
        return format;
      });
      return true;
    case 'channels-min':
      params.channels_min = strtou32(value);
      return true;
    case 'channels-max':
      params.channels_max = strtou32(value);
      return true;
    case 'buffer-size':
      params.buffer_size = strtou32(value);
      return true;
    default:
      return false;
  }
}

function pcmToJson({ name, params, streams }: Pcm): JsonObject {
  return {
    ...(name === undefined ? {} : { name }),
    params: paramsToJson(params),
    ...(streams.length === 0 ? {} : { streams: streams.map(streamToJson) }),
  };
}

function streamToJson({ unique_id, type, params }: Stream): JsonObject {
  return {
    ...(unique_id === undefined ? {} : { unique_id }),
    ...(type === undefined ? {} : { type }),
    params: paramsToJson(params),
  };
}

/** Zero is what is not given. */
function paramsToJson({ sample_rates, sample_formats, channels_min, channels_max, buffer_size }: Params): JsonObject {
  return {
    ...(sample_rates === undefined || sample_rates.length === 0 ? {} : { sample_rates }),
    ...(sample_formats === undefined || sample_formats.length === 0 ? {} : { sample_formats }),
    ...(channels_min ? { channels_min } : {}),
    ...(channels_max ? { channels_max } : {}),
    ...(buffer_size ? { buffer_size } : {}),
  };
}
