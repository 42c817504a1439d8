import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BootFailure } from '../boot-failure.ts';
import type { BootMenu, MenuFiles } from './boot-menu.ts';
import { readExtlinuxMenu } from './extlinux.ts';
import { readEnvironment } from './grub-environment.ts';
import { readLegacyMenu } from './grub-legacy.ts';
import { readGrubMenu } from './grub-menu.ts';
import { compareVersions } from './loader-entries.ts';

function filesOf(texts: Readonly<Record<string, string>> = {}): MenuFiles {
  return {
    exists: (path) => Promise.resolve(path in texts),
    readText: (path) => Promise.resolve(texts[path]),
    names: (folder) =>
      Promise.resolve(
        Object.keys(texts)
          .filter((path) => path.startsWith(`${folder}/`))
          .map((path) => path.slice(folder.length + 1)),
      ),
  };
}

const grub = (text: string, texts?: Readonly<Record<string, string>>): Promise<BootMenu> =>
  readGrubMenu(text, '/boot/grub/grub.cfg', filesOf(texts));
const chosen = ({ entries, defaultEntry }: BootMenu): unknown => entries[defaultEntry];

/** Written after what Debian's grub-mkconfig generates: variables, functions, a simple entry, a submenu, another system. */
const debian = `
# made by hand
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="0"
fi
if [ x"\${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  fi
}
if loadfont unicode ; then set gfxmode=auto ; fi
set timeout_style=menu
if [ "\${timeout}" = 0 ]; then set timeout=5; fi
menuentry 'A Linux' --class debian --class os $menuentry_id_option 'simple-1' {
	load_video
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	set root='hd0,msdos1'
	if [ x$feature_platform_search_hint = xy ]; then
	  search --no-floppy --fs-uuid --set=root  1234
	else
	  search --no-floppy --fs-uuid --set=root 1234
	fi
	echo	'Loading ...'
	linux	/boot/vmlinuz-6.1 root=UUID=1234 ro quiet "two words=a b" \\$notavariable
	echo	'Loading the ramdisk ...'
	initrd	/boot/initrd.img-6.1
}
submenu 'More of a Linux' $menuentry_id_option 'more-1' {
	menuentry 'A Linux, version 6.1' --class debian $menuentry_id_option 'version-6.1' {
		linux	/boot/vmlinuz-6.1 root=UUID=1234 ro
		initrd	/boot/initrd.img-6.1
	}
	menuentry "A Linux, version 6.1 (rescue)" $menuentry_id_option 'rescue-6.1' {
		linux	($root)/boot/vmlinuz-6.1 root=UUID=1234 ro single
		initrd	($root)/boot/ucode.img ($root)/boot/initrd.img-6.1
	}
}
menuentry 'A hypervisor' { multiboot2 /boot/xen.gz placeholder
  module2 /boot/vmlinuz-6.1 placeholder root=UUID=1234
}
if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`;

const simple = {
  title: 'A Linux',
  kernel: '/boot/vmlinuz-6.1',
  ramdisks: ['/boot/initrd.img-6.1'],
  args: 'root=UUID=1234 ro quiet "two words=a b" $notavariable',
};
const rescue = {
  title: 'A Linux, version 6.1 (rescue)',
  kernel: '/boot/vmlinuz-6.1',
  ramdisks: ['/boot/ucode.img', '/boot/initrd.img-6.1'],
  args: 'root=UUID=1234 ro single',
};

describe('a grub.cfg', () => {
  it('as Debian makes it gives its entries, flat, and its default', async () => {
    const menu = await grub(debian);
    assert.deepEqual(
      menu.entries.map(({ title }) => title),
      ['A Linux', 'A Linux, version 6.1', 'A Linux, version 6.1 (rescue)', 'A hypervisor'],
    );
    assert.deepEqual(chosen(menu), simple);
    assert.deepEqual(menu.entries[2], rescue);
    assert.equal(menu.entries[3]?.kernel, undefined);
  });

  it('finds a default in a submenu by number, identifier and title', async () => {
    for (const name of ['1>1', 'more-1>rescue-6.1', 'More of a Linux>1', '1>A Linux, version 6.1 (rescue)']) {
      assert.deepEqual(chosen(await grub(debian.replace('default="0"', `default="${name}"`))), rescue, name);
    }
    const first = await grub(debian.replace('default="0"', 'default="1"'));
    assert.equal(first.defaultEntry, 1, 'a submenu alone stands for its first entry');
    assert.equal((await grub(debian.replace('default="0"', 'default="nothing"'))).defaultEntry, 0);
  });

  it('takes a saved default from the environment block, and leaves what is for one boot only', async () => {
    const saved = debian.replace('set default="0"', 'set default="${saved_entry}"');
    const grubenv = '# GRUB Environment Block\nsaved_entry=more-1>rescue-6.1\nnext_entry=simple-1\n#####';
    assert.deepEqual(chosen(await grub(saved, { '/boot/grub/grubenv': grubenv })), rescue);
    assert.deepEqual(chosen(await grub(saved)), simple);
  });

  it('reads what it includes, and not for ever', async () => {
    const custom = "menuentry 'Mine' --id=mine {\n linux /mine a=b\n}\nset default=mine\nsource $prefix/custom.cfg";
    assert.deepEqual(chosen(await grub(debian, { '/boot/grub/custom.cfg': custom })), {
      title: 'Mine',
      kernel: '/mine',
      ramdisks: [],
      args: 'a=b',
    });
  });

  it('takes kernels from files of their own, newest first, with the variables of the environment block', async () => {
    const entry = (version: string): string =>
      `title Enterprise (${version})\nversion ${version}\nlinux /vmlinuz-${version}\ninitrd /initramfs-${version}.img $tuned_initrd\noptions $kernelopts $tuned_params\nid x\n`;
    const texts = {
      '/boot/grub/grubenv': '# GRUB Environment Block\nsaved_entry=\nkernelopts=root=/dev/xvda2 ro crashkernel=auto \n',
      '/loader/entries/0123-4.18.0-80.el8.x86_64.conf': entry('4.18.0-80.el8.x86_64'),
      '/loader/entries/0123-4.18.0-147.el8.x86_64.conf': entry('4.18.0-147.el8.x86_64'),
      '/loader/entries/0123-0-rescue.conf': entry('0-rescue'),
      '/loader/entries/README': 'not one',
    };
    const text = 'load_env\nset default="${saved_entry}"\ninsmod blscfg\nblscfg\n';
    const menu = await grub(text, texts);
    assert.deepEqual(
      menu.entries.map(({ kernel }) => kernel),
      ['/vmlinuz-4.18.0-147.el8.x86_64', '/vmlinuz-4.18.0-80.el8.x86_64', '/vmlinuz-0-rescue'],
    );
    assert.deepEqual(chosen(menu), {
      title: 'Enterprise (4.18.0-147.el8.x86_64)',
      kernel: '/vmlinuz-4.18.0-147.el8.x86_64',
      ramdisks: ['/initramfs-4.18.0-147.el8.x86_64.img'],
      args: 'root=/dev/xvda2 ro crashkernel=auto',
    });
    const saved = texts['/boot/grub/grubenv'].replace('saved_entry=', 'saved_entry=0123-4.18.0-80.el8.x86_64');
    assert.equal((await grub(text, { ...texts, '/boot/grub/grubenv': saved })).defaultEntry, 1);
    const without = await grub("set default_kernelopts='root=/dev/a ro'\nblscfg", {
      ...texts,
      '/boot/grub/grubenv': '',
    });
    assert.equal(without.entries[0]?.args, 'root=/dev/a ro');
  });

  it('as el7 makes it uses linux16 and initrd16', async () => {
    const text = `set default="\${saved_entry}"
menuentry 'CentOS' --class centos --unrestricted $menuentry_id_option 'x' {
	linux16 /vmlinuz-3.10 root=/dev/mapper/centos-root ro rd.lvm.lv=centos/root
	initrd16 /initramfs-3.10.img
}`;
    assert.deepEqual(chosen(await grub(text)), {
      title: 'CentOS',
      kernel: '/vmlinuz-3.10',
      ramdisks: ['/initramfs-3.10.img'],
      args: 'root=/dev/mapper/centos-root ro rd.lvm.lv=centos/root',
    });
  });

  it('is bounded in length and depth', async () => {
    await assert.rejects(grub('true\n'.repeat(100_000)), BootFailure);
    await assert.rejects(grub('menuentry a { linux /k\n }\n'.repeat(1000)), BootFailure);
    await assert.rejects(grub('if true; then '.repeat(1000)), BootFailure);
    await assert.rejects(grub(`a=${'x'.repeat(9000)}\n${'a=$a$a\n'.repeat(20)}linux $a$a$a`), BootFailure);
  });

  it('of any content gives a menu or a BootFailure', async () => {
    const words = [
      'if',
      'then',
      'fi',
      'else',
      'menuentry',
      'submenu',
      '{',
      '}',
      '[',
      ']',
      '$a',
      '"',
      "'",
      '\\',
      '\n',
      ';',
      '#',
    ];
    const more = [
      'set',
      'a=b',
      'default=0',
      'linux',
      '/x',
      '(hd0)/y',
      'initrd',
      'source',
      '/boot/grub/grub.cfg',
      'blscfg',
      ' ',
      'for',
      'do',
    ];
    const text = fc.array(fc.constantFrom(...words, ...more), { maxLength: 200 }).map((parts) => parts.join(' '));
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, fc.string({ maxLength: 500 })), async (config) => {
        try {
          const { entries, defaultEntry } = await grub(config, { '/boot/grub/grub.cfg': config, '/x': config });
          assert.ok(defaultEntry === 0 || defaultEntry < entries.length);
        } catch (error) {
          assert.ok(error instanceof BootFailure, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("GRUB's environment block", () => {
  it('is lines with escapes', () => {
    const text = '# GRUB Environment Block\na=1\nb=x\\\\y\nnot this\nc=\n####';
    assert.deepEqual(
      [...readEnvironment(text)],
      [
        ['a', '1'],
        ['b', 'x\\y'],
        ['c', ''],
      ],
    );
  });
});

describe('a menu.lst', () => {
  const text = `# comment
default=1
timeout=5
splashimage=(hd0,0)/grub/splash.xpm.gz
hiddenmenu
title Old (2.6.32)
	root (hd0,0)
	kernel /vmlinuz-2.6.32 ro root=/dev/xvda1 console=hvc0
	initrd /initrd-2.6.32.img
title Older
	root (hd0,0)
	kernel (hd0,0)/boot/vmlinuz-2.6.18 ro root=LABEL=/
	initrd	(hd0,0)/boot/initrd-2.6.18.img
`;
  it('gives entries and the default', () => {
    const menu = readLegacyMenu(text);
    assert.equal(menu.entries.length, 2);
    assert.deepEqual(chosen(menu), {
      title: 'Older',
      kernel: '/boot/vmlinuz-2.6.18',
      ramdisks: ['/boot/initrd-2.6.18.img'],
      args: 'ro root=LABEL=/',
    });
    assert.equal(menu.entries[0]?.args, 'ro root=/dev/xvda1 console=hvc0');
  });

  it('takes the first entry for a default that is saved or not there', () => {
    for (const line of ['default saved', 'default 7', 'default=', '']) {
      assert.equal(readLegacyMenu(text.replace('default=1', line)).defaultEntry, 0);
    }
  });
});

describe('an extlinux.conf', () => {
  it('gives labels with paths relative to itself, includes, and the default', async () => {
    const text = `DEFAULT second
TIMEOUT 50
include themes/menu.cfg
LABEL first
  MENU LABEL ^First one
  KERNEL ../vmlinuz
  APPEND initrd=../initrd.img root=/dev/xvda1 ro
LABEL second
  linux /boot/vmlinuz
  initrd /boot/initrd.img
`;
    const menu = await readExtlinuxMenu(
      text,
      '/boot/extlinux/extlinux.conf',
      filesOf({ '/boot/extlinux/themes/menu.cfg': 'append common=1\nINCLUDE themes/menu.cfg' }),
    );
    assert.deepEqual(menu.entries[0], {
      title: 'First one',
      kernel: '/boot/extlinux/../vmlinuz',
      ramdisks: ['/boot/extlinux/../initrd.img'],
      args: 'root=/dev/xvda1 ro',
    });
    assert.deepEqual(chosen(menu), {
      title: 'second',
      kernel: '/boot/vmlinuz',
      ramdisks: ['/boot/initrd.img'],
      args: 'common=1',
    });
  });

  it('takes the kernel behind a hypervisor', async () => {
    const text = 'label x\nkernel mboot.c32\nappend xen.gz dom0_mem=1G --- vmlinuz ro quiet --- initrd.img\n';
    const menu = await readExtlinuxMenu(text, '/boot/extlinux.conf', filesOf());
    assert.deepEqual(chosen(menu), {
      title: 'x',
      kernel: '/boot/vmlinuz',
      ramdisks: ['/boot/initrd.img'],
      args: 'ro quiet',
    });
  });
});

describe('versions', () => {
  it('compare as rpm compares them', () => {
    const ascending = ['a-0-rescue', 'a-4.9.0', 'a-4.18.0-80.el8', 'a-4.18.0-147.el8', 'a-4.18.0-147.1.el8', 'a-5.1'];
    assert.deepEqual([...ascending].reverse().sort(compareVersions), ascending);
  });
});
