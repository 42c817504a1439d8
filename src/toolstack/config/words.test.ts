/** Keys whose values are words that libxl knows, and sound cards: what the recorded cases have nothing of. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from './config-error.ts';
import { configToJson } from './domain-config.ts';
import type { JsonObject } from './json.ts';
import { parseConfig } from './parse-config.ts';

function json(more: string, type = 'pv'): Record<string, JsonObject> {
  const text = `name="t"\ntype="${type}"\nkernel="k"\nmemory=64\n${more}\n`;
  return configToJson(parseConfig(text, 't.cfg', { cpus: 2 }, () => undefined).config) as Record<string, JsonObject>;
}

function refused(more: string): { message: string; exitCode: number } {
  try {
    json(more, 'hvm');
  } catch (error) {
    assert(error instanceof ConfigError);
    return { message: error.message, exitCode: error.exitCode };
  }
  return assert.fail(`was not refused: ${more}`);
}

describe('a word that libxl knows', () => {
  it('may be written in any case', () => {
    assert.equal(json('tsc_mode="Native"')['b_info']?.['tsc_mode'], 'native');
    assert.equal(json('altp2m="MIXED"')['b_info']?.['altp2m'], 'mixed');
    assert.equal(json('gic_version="V3"\ntee="OPTEE"')['b_info']?.['tee'], 'optee');
    const hvm = json('bios="OVMF"\nhdtype="AHCI"\nviridian=["Base"]', 'hvm')['b_info']?.['type.hvm'] as JsonObject;
    assert.deepEqual([hvm['bios'], hvm['hdtype'], hvm['viridian_enable']], ['ovmf', 'ahci', [0]]);
  });

  it('is refused when it is another', () => {
    assert.deepEqual(refused('gic_version="v9"'), { message: 'Unknown gic_version "v9" specified', exitCode: 3 });
    assert.deepEqual(refused('tee="x"'), { message: 'Unknown tee "x" specified', exitCode: 3 });
    assert.deepEqual(refused('hdtype="scsi"'), { message: 'ERROR: invalid value "scsi" for "hdtype"', exitCode: 1 });
  });
});

describe('a sound card', () => {
  it('has PCM devices with streams, each with parameters', () => {
    const { vsnds } = json(`vsnd = [[ 'CARD, short-name=Main, sample-rates=44100;48000',
      'PCM, name=dev1, buffer-size=0x8000',
      'stream, unique-id=0, type=P, sample-formats=s16_le;U8', 'STREAM, unique-id=1, type=c, channels-max=2' ]]`);
    assert.deepEqual(vsnds, [
      {
        devid: 0,
        short_name: 'Main',
        params: { sample_rates: [44100, 48000] },
        pcms: [
          {
            name: 'dev1',
            params: { buffer_size: 0x8000 },
            streams: [
              { unique_id: '0', type: 'p', params: { sample_formats: ['s16_le', 'u8'] } },
              { unique_id: '1', type: 'c', params: { channels_max: 2 } },
            ],
          },
        ],
      },
    ]);
  });

  it('is refused with the part that is wrong', () => {
    assert.equal(refused("vsnd = [['DISC, a=b']]").message, 'Invalid key: DISC');
    assert.equal(refused("vsnd = [['CARD, colour=red']]").message, 'Invalid parameter: colour=red');
    assert.equal(refused("vsnd = [['STREAM, type=X']]").message, 'Invalid stream type: X');
    assert.equal(refused("vsnd = ['CARD']").message, 'Failed to get vsnd card list: Invalid argument');
    assert.equal(refused("vsnd = [['PCM, sample-formats=MP3']]").message, 'Invalid pcm format: MP3');
  });
});

describe('a 9pfs share', () => {
  it('has all that is required', () => {
    assert.deepEqual(json('p9=["tag=share, path=/srv, security_model=none"]')['p9s'], [
      { backend_domname: undefined, tag: 'share', path: '/srv', security_model: 'none' },
    ]);
    assert.equal(refused('p9=["tag=share,path=/srv"]').message, '9pfs spec missing required field!');
    assert.equal(refused('p9=["tag=share,colour=red"]').message, "Unknown string `colour' in 9pfs spec");
  });
});
