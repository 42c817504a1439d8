/**
 * Streams made by xz 5.4 and lz4 1.9 from the contents below, with the options that the names of the tests tell.
 */
export const samples = {
  xzCrc32:
    '/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4FZLAJVdADYaSh8IoCYDTQad7+2MoT/IOM9thS+aaJmfL/bA0qMCNuh6OVrriz6b27+7FTPcO8R+YX94' +
    '8aSee5YS1BpGAYLnNwiP3GsMgVcDUnTY+x7/sJx4dbFnuj+f5+0RR4QB45murQMVmy1DeoBcKJYqUV/vBkx3vADTkhvvGJ8/VDpcaa9LdK4E/w8S' +
    'krhV4fnlPv42yuw8AAAAAIYqDsgAAa0BzKwBAKY7Va4+MA2LAgAAAAABWVo=',
  xzCrc64Blocks:
    '/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4BdvAHldADYaSh8IoCYDTQad7+2MoT/IOM9thS+aaJmfL/bA0qMCNuh6OVrriz6b27+7FTPcO8R+YX94' +
    '8aSee5YS1BpGAYLnNwiP3GsMgVcDUnTY+x7/sJx4dbFnuj+f5+0RR4QB45murQMVmy1DeoBcKJYqUV/vBkx3tqmDpAAAAAAA0HltXvKuVhYCACEB' +
    'FgAAAHQv5aPgF28Ae10AFggLZto0u+1Le0xrEoBtCR5ZOegqwKwoB2A4rTfUstJjoSn/4MkCwx0Att3UfLdcWYEsQZ2XUEgRzPVWCmZ667xJIL4c' +
    'eA6qY07vTcEm/Yivesnc1UyuVVzlVcUABT55K2jxZid9qmPKYXzLXJrLSW9Jwwxau9i9320AAAC0PsG6ZPpUNgIAIQEWAAAAdC/lo+AXbwB7XQA6' +
    'CAqGw6yJFvju8aemMQ93xXoxojicYZB914DG98sO2cv/v6muhUaETHccEHETRl8usBrsvd7z8jdFIth33Bbg6HELEnQMC1Xqr6BOmRssyNnfAyHY' +
    'iMq+xHtIH/mKvdz3Dp1yorKIhGucYwnVWL5YWf49u3MOunfY1wAAAFHcdR+tit5HAgAhARYAAAB0L+Wj4A/7AHNdADcYyOOjzd+R+uIZ9FOBVK3Y' +
    'wsN/BUfBv99vCh3tdeYFdjb0foP7e/U7nNyvpV/v7T8rAqNBBFK2oNn+eQuKZf7Gtd6oi5xqS4ko1i3JRFTPADPgggfKFlfKyCRQn1yI2LfsWTNz' +
    'jdLqV17z5eZkAQd3QgAAANCeN8CvDhDNAASVAfAulwHwLpcB8C6PAfwfAADtB1BzCfRi5gUAAAAABFla',
  xzSha256:
    '/Td6WFoAAArh+wyhAgAhARYAAAB0L+Wj4FZLAJVdADYaSh8IoCYDTQad7+2MoT/IOM9thS+aaJmfL/bA0qMCNuh6OVrriz6b27+7FTPcO8R+YX94' +
    '8aSee5YS1BpGAYLnNwiP3GsMgVcDUnTY+x7/sJx4dbFnuj+f5+0RR4QB45murQMVmy1DeoBcKJYqUV/vBkx3vADTkhvvGJ8/VDpcaa9LdK4E/w8S' +
    'krhV4fnlPv42yuw8AAAAAOA9OAPwSkKhPuV5jgqn2x4nEdKb9yc+/eabDzVi2E2tAAHJAcysAQDqdjA9tunfHAIAAAAAClla',
  xzX86:
    '/Td6WFoAAAFpIt42AgEEACEBEACLIW9J4BkPB82SAHQ6QOAHLYSL8xSrFKGNB16FCapLg6LQUfrHdesmOJuXnBM/rFbBmN55AyGfYxcD+o9koMs9' +
    'r1E8K7GBnHACoJkSqYXSjuMQf5SxZ3n6k9iU6UcNm5g+pncjfyqTqFjD4ESmnP2mSJEZ3OWR+zzjZlwQc72kBcym6+gQ6QW7mwqYhtb/MyAHWpG2' +
    'RqDke3Q3WjGUvhoHIl7KmhFqJlDFQ0HF8o3pMTRNMqdCiAHuOVyeppzv1RK0Dr/SaBVB9SJvls9469z+QTB3zT/Y7bKGD9Cbs252VSK26/gI3Cds' +
    'X2muvXO6O/h8SluhJZuHeG5wNH1dDcnZd3hVMG23mS46zQrjjpy4w7ScbSCqUA3sv4VNvwxX5XSz+lpT9vXTbu/GxiOL6tRVLGd/nJR5htqnF18i' +
    'GIE4IszLFuWyd4YZS3uLBixWb1DpJIf+u6yTxZrPYDnABABzewA6DS+8yIR5pCkEZYlT4WGJpBJnw4QZH5PIyjbsAGHj2F0p2ZVTpwwjICoZCbYL' +
    'cg4r6Y5SQclvBNQ76gUFWeXWhn+BUlR+GCwWyYJm2q7XiOt84QL4W1JiSFyh/kB2SlVkkKrblcMVncfu5rIVaYlYPU+N0PDIMa8TJ9NeA1vYuJvV' +
    'BZthiLyOKN/WjjTEdR5ZfbrMXSY9MavVDOmObhYZkrVSKqdRpvfnwVBZKipkT3t4f0edRYHAbNCql8WfHP+mItoo/QSH7ItW/fRJNXBucqcOuYD/' +
    '1CjmiUEccQ6388R8qL+/zW06cHMbwokJJZe0Ck5y9e8j0UxYpfmyIjZhwIAh7Zs60O2UGPKtFpMj9YmYZhSzhFPNeYFuN8i+Su6VyBwamuo/M7FN' +
    'GLEhGPg4Yjn8Lgf0ICo3uuTz8SCV1RdlqjZOpdigvJaJyDvMfC3r4jli64vqJ2kEfI2nm4nudeoVHhV32qY84FXss2kl1okR4j2Vat6ZBg7x374Y' +
    'ES4sJV20tpkHl8ZxHhCllS0UZG7UFOHo6vIyMk6Uqs/1WIAARAsEKfApTnrhQA1ivb1S543q2j9rQfDIiahbGgKC2yBI/snyJpKvCvBKtQOpqHU7' +
    'nVxXl3O4dmscnyQeoTlzBEnYrLTAj0E0ziT/8BQ1kiToSlth0MH95P1I8VZTeiE8CZNA1/S2VfbY4WBbULKJYcZl9QYOaHUuBU4wVmnrvekoEtAK' +
    '0Acq/AJYYm+9cRBZZVYjsoZkAQ8dLX1OgvVnF75BfhAyHFkb6HvTJsB1tt2ja4Hm4zjG3WKDB8REnBESVw2tbaAaMNoibSRFzgsZA76pksgTU/Dd' +
    'BqrAT7sHuEzjVx9+zlyHwkRGGdkhLXOurBudIRnJQVzmCutC6jedNn59kQ/clWN77ke59iHyGXO1gmu1oGHnkLAJBUMUSsglAuLIm2Nhhf2XBy91' +
    'kwupx5W9qsEo4CaQ0x/xJWYJnUefS+ddVUl1iEnCd5DnYHMy9EUSwTiwjLrZWf9ziCSq1OzleKkT6OhpcoAIvBN+YeXykGeV1IXoC+J2nz1JC5W8' +
    '0V56H/EL4wLArAbUa8CdK6kq0u//Cz16R9mGF9Ula9CrNCwRk5nRkkTvn5CiqCEM//kU7ZKHDcyBhcykEVh8qEnDB9mGetqQtdaEWDMcZ7pEUjwQ' +
    'f4JQi0XjQf44c1WI2qYQiN3H/1wb23F0uMGly4ni1cAahdL+Bj6NdqK0KF7FcbBIzciNBFlEQwcc6yJBURvEfmfdPsEwFHa8Uh24IAoV85Or6xBS' +
    'Ew1Nv2dAN64Opv69jc1BocorwirAyKhU5Xhgq+SYjrtT39PGP7Cj6BjUI0J5hDUvqCjM6WKffOaFmf4pe3BeKSrFM3HKiCuS7rf5XNFdaABbQp4c' +
    'DaT0taxHnPrZAJ1L4jv6qFNsaW75U1cTIWK6+ZrX98mSLPhG7PmrlG/ZIJh1scSivIJISpifPLAn57KU73zx/n/rpntOWETOg0BsWrt19k6K8Qa8' +
    'rGi0LMXZLdu5Lst0OosIQLRcRz90JIDnj+OZs4k6+VgwaxxyatUUZC/9nfbXjURjCzuUmu6FBB+UaYIkVG+GbuKd9/qv5sDCaaS29PMFvIjqDstu' +
    'j+gV7qA7sIMLE+orwkXr7XjHuScCdN67S9kSMGih8cO5bpJNqTAGim63Q3gcMD6PiqIRnKzT0iEQiVypsLCyPFwqkb7jI9vRJ7bsjFIAIplsBePs' +
    'S4Vg7Eg3CcvJI6GlaEm4axSGzQujMIM2oHOc7T9RRant9UlSpDt3iCMde/qZHDzoCNsLl+x+pZdxcPnIaVzcZstlh8e5OswU2ySdfakmZaCUw+Hu' +
    '5zBSMLmzTEz1gheHQ12opF6HxiKGHcuI7lEHEUVcRGrrq70ifaWApnRCqC2rIs9+rj+r7nYvYBGP4hiraHkR23HvyyZ9TNTYFyrZdUr0s6HbW3JD' +
    'pYotqhWbgnw6LcojWAGlHWUdMP4GQdc89fLsHEqTVFt2Fwcu55Qbb7zIXGrvGeQHgV0WfgamfSNtYp7NuErkwuJpw0+iIOoWkllCppw89e4nxekL' +
    'PFVoltUP62aMNF4vfNh8aQs32RceywDIE6UZVdXwXekQeDkddbRzOc60J5H86xgjol2n3vqOEfnvO8czgtKU0puePfthh4nuRS/NXZ+sPBywlpSL' +
    'ApI9T/TV9vlDD+VwAAAAAFsbH58AAeUPkDIAAGcZI50+MA2LAgAAAAABWVo=',
  lzma:
    'XQAAgAD//////////wA2GkofCKAmA00Gne/tjKE/yDjPbYUvmmiZny/2wNKjAjboejla64s+m9u/uxUz3DvEfmF/ePGknnuWEtQaRgGC5zcIj9xr' +
    'DIFXA1J02Pse/7CceHWxZ7o/n+ftEUeEAeOZrq0DFZstQ3qAXCiWKlFf7wZMd7wA05Ib7xifP1Q6XGmvS3SuBP8PEpK4VeH55T7+N6U6c3T/4Wov' +
    'AA==',
  lz4:
    'AiFMGNEAAADxKGxpbmUgMCBvZiBhIHRleHQgdGhhdCByZXBlYXRzIGl0c2VsZiwgd2l0aCBkaWZmZXJlbmNlcwo3AB83NwAjHzE3ACMfODcAIx8y' +
    'NwAjHzk3ACMfMxMBJA+CASQfNG8AJA+DASQfNW8AJA+EASQfNjcAHg/OAv//////////////////////////////////////////////////////' +
    '////////////////////////////////////////////////////////uVBuY2VzCg==',
  xzSliding:
    '/Td6WFoAAAFpIt42AgAhAQAAAAA3J5fW//8LBaVdADGYXATCV245xJVzIeaG3YNmpk7DkmwghI6bkCfv8tUa8fUBSDwIt9LJaQPxsOy839jQ3xkD' +
    '4+9tURdj9QYR2zpj8E013fKoxOGVxPGJBE9GOvjbpEPOqApp344M9h7LswLQUk/6av2UCKAJ3yz1ypo2SeVhrIobWkbbVoq56QsSAqfQE50KOl3q' +
    'Eyy/ngj4YNtozyPeQ4U6OeDB00iv/rkgk8HRyJHDnO7LagyeFzxwLud1jE7QJpHmIz+jR8rWBsU5hXPafKAaYYWR2Xo3agKwPFTbYYnZiy/DkT1M' +
    'kvQdSFRuN4MualucIMR+2LA5JmLFvoA8+Jn9yjNex58daN81Nj6wbE22XnzrfykKrK3sDvXjPu0yMy6DzvTzqJ8qQf5UWhcqbxXdGZMJ057fV7gT' +
    'PIZbjy66K6EKPYZdsLy4UauQHkVYBDl6MBWamaE4mua9AoWQnNsUi3gz6Kmg18rwkcmyhCijEOSOV5s9R7k063ZF2UpNXfPWLYC6dmYZnjfGA7yt' +
    '6K0C76uDrtFpbmkOFuYhPfkdqh+/3bpQRhpduT7X/saDk6C9c6z3HFgOSaCIGOIxdUqW+kCekozAjpjpCDZF1m1IyEchgSjzCNyDGXrZxzEl69bW' +
    'Mf4cgQw/69AXC58dJBdqRjFO6XGWAJ42aTWt8c9H6iqi3bzD9h35ru9NZND08j46UzXcxFAHVHbF0b3hujHfc8NA1v++skyMR5f3KUUx/xifT8m3' +
    'qXcEdl4p8X6B1noz+ytiaoNA3rNfw2DkdZ4UlZx0WJbsb1zekb+SAwN+cvoHUSABPfCjlj57Y/mn3yXB/McfEsNgflpLVfmZhioaGQl/WzZLn9n3' +
    'EpPvAIgiTZiw2GHJ5ffMxrpZCtmwaM7ga/zfh7Q4t6Od8nhsFkInZ4dbAeMAWdD83XMVyqfVfRc+C8FhLuhKOvkGmdtnVQ+7aja9aj1E5s6Li7di' +
    'vYBRW9LKToZjU2kcUXl0KTsJ/snq4rheIkazoeZUI0vhsmilF+iDRErG6UCXikg59soPnNVFtjgkkAOkvkkSMaP4LdE7e52EMDai/Yn0DdE/w/Fd' +
    '79SF89EftyX5lxCSxFBoR9mKYoC4Mggoh67U7CWQXqKL+GeAY/iGlrNOAswLniMeSIPo0tZmh+VccKYysiv/m/ivbkN9YBfBmZ1cOQrPvMCF2YR0' +
    'ATlJG2xKYP/DBBBojFGtcc4C8ISX05ErRKT8zUkj187egp3kUHRSdvkCDmIGMaoYgEEek6CvOBJMeGkHjLKWXhyI2j5XBx4QjpW0YMTCrVOCjGR+' +
    'X6t3UR54inGlx0sa+HRv62iDgsm1orfUw2q1aWp4wrxFCGupAvE/7LHZHE2xwyrBO51NmkChuctQrW+/sl22brwsJf7PUGQiJzjx7mn8WkGTX4Yd' +
    'D6hUVJI/1E3+54INyZxeX5IUOZtg7yDiee1+zEgdQBrs5iiwxlQ9c6APo90xUuRhUhDWkmbBn4e3IY0yjQPtwiBmVrtD8fXYgeMP4X2Wi+oVU1b8' +
    'pl7eH9v59XJfqhN0qAQHfyhEXRZlAJHoCUWYin4qkfIndfcZwAaYTZj92K/VkA/EJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJY' +
    'vul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgpZAk7gMsqbN+1O/DEvS5fqg8+S2ZCkBMO/xCT+HF4WfgLzf+VKEYPqfx83vuaMC5WwI+F84OB' +
    'wGXEJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgpZAk7gMsqbN+1O/DEvS5f' +
    'qg8+S2ZCkBMO/xCT+HF4WfgLzf+VKEYPqfx83vuaMC5WwI+F84OBwGXEJVP2n3Hcn/8QASsA7HNTp/2+rnwxGp+3jTFucJ6nI1/sKMuF0ZWYin4q' +
    'kfIndfcZwAaYTZj92K/VkA/EJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6xJxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgp' +
    'ZAk7gMsqbN+1O/DEvS5fqg8+S2ZCkBMO/xCT+HF4WfgLzf+VKEYPqfx83vuaMC5WwI+F84OBwGXEJVP49ZE2MQWlsO5vwXBNRwzRkRGqrWAdus6x' +
    'JxhcWYbpZlJYvul2rFnk5VsFCPnH2q38+1IrdM0eWyBC+d1TPfgpZAk7gMsqbN+1O/DEvS5fqg8+S2ZCkBMO/xCT+HF4WfgLzf+VKEYPqfx83vua' +
    'MC5WwI+F84OBwGXEJVEPP7KXYRIA3QDsc1On/b6ufDEan7eNMW5wnqcjX+woy4XRlZiKfiqR8id19xnABphNmP3Yr9WQD8QlU/j1kTYxBaWw7m/B' +
    'cE1HDNGREaqtYB26zrEnGFxZhulmUli+6XasWeTlWwUI+cfarfz7Uit0zR5bIEL53VM9+ClkCTuAyyps37U78MS9Ll+qDz5LZkKQEw7/EJP4cXhZ' +
    '+AvN/5UoRg+p/Hze+5owLlbAj4Xzg4HAZcQlU/j1kTYxBaWw7m/BcE1HDNGREaqtYB26zrEnGFxZhulmUli+6XasWeTlWwSX51/3AAAAAACMeTqe' +
    'AAHRD7C+3QJ4y02QPjANiwIAAAAAAVla',
} as const;

/** Bytes of a sample, in memory of its own. */
export function sample(name: keyof typeof samples): Uint8Array {
  return new Uint8Array(Buffer.from(samples[name], 'base64'));
}

export function sampleText(): Uint8Array {
  let text = '';
  for (let i = 0; i < 400; i++) text += `line ${(i * 7) % 13} of a text that repeats itself, with differences\n`;
  return new TextEncoder().encode(text);
}

/** Something like machine code: calls and jumps to few targets from many places, and bytes that only look like them. */
export function sampleCode(): Uint8Array {
  const random = pseudoRandom(12345, 8);
  const code: number[] = [];
  for (let i = 0; i < 1500; i++) {
    const kind = random() % 6;
    if (kind < 4) {
      const displacement = 0x1000 * (random() % 5) - (code.length + 5);
      code.push(kind < 3 ? 0xe8 : 0xe9, ...[0, 8, 16, 24].map((shift) => (displacement >> shift) & 255));
    } else if (kind === 4) {
      code.push(0xe8, 0xe9, random() & 255, 0);
    } else {
      for (let n = random() % 4; n > 0; n--) code.push(0x90);
    }
  }
  return new Uint8Array(code);
}

/** Repeats after almost a dictionary of 4 KiB, for longer than one buffer of the decoder. */
export function samplePeriodic(): Uint8Array {
  const random = pseudoRandom(99, 16);
  const period = Uint8Array.from({ length: 4090 }, () => 97 + (random() % 3));
  const all = new Uint8Array(period.length * 1400);
  for (let at = 0; at < all.length; at += period.length) all.set(period, at);
  return all;
}

function pseudoRandom(seed: number, shift: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state >> shift;
  };
}
