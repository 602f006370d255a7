import assert from 'node:assert/strict';
import { test } from 'node:test';
import { find, pieces, plain, rowAt, runs, visible, wrap } from '../../src/exchange/text.ts';

test('what cannot be seen is shown', () => {
  assert.equal(visible('plain ä 漢 👩‍💻\ttab'), 'plain ä 漢 👩‍💻\ttab');
  for (const [raw, shown] of [
    ['a\u202eb', 'a⟨U+202E⟩b'], ['\x1b[31m', '⟨␛⟩[31m'], ['\x9b', '⟨U+009B⟩'], ['\u2066x\u2069', '⟨U+2066⟩x⟨U+2069⟩'], ['\x7f', '⟨␡⟩'],
    ['\u200b', '⟨U+200B⟩'], ['\u{e0041}', '⟨U+E0041⟩'], ['\r', '⟨␍⟩'], ['\ud800', '⟨U+D800⟩'], ['\u0000', '⟨␀⟩'],
  ] as const) {
    assert.equal(visible(raw), shown);
    assert.equal(plain(raw), false);
  }
  assert.deepEqual(pieces('a\u0007b'), [{ text: 'a', mark: false }, { text: '␇', mark: true }, { text: 'b', mark: false }]);
});

test('rows of one height', () => {
  const cut = (text: string, columns: number, limit = 100) => {
    const r = wrap(text, columns, limit);
    return { rows: r.starts.map((s, i) => text.slice(s, r.ends[i])), lines: r.lines, cut: r.cut };
  };
  assert.deepEqual(cut('ab\r\ncdefg\n\nh\n', 3), { rows: ['ab', 'cde', 'fg', '', 'h'], lines: [1, 2, 0, 3, 4], cut: false });
  assert.deepEqual(cut('', 3), { rows: [''], lines: [1], cut: false });
  assert.deepEqual(cut('a\n\n', 3), { rows: ['a', ''], lines: [1, 2], cut: false });
  assert.deepEqual(cut('👩👩', 3).rows, ['👩', '👩'], 'a character is not torn');
  assert.deepEqual(cut('👩', 1).rows, ['\ud83d', '\udc69'], 'but it goes on');
  assert.deepEqual(cut('a\nb\nc', 3, 2), { rows: ['a', 'b'], lines: [1, 2], cut: true });
});

test('every byte of a text is in one row', () => {
  let seed = 1;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  for (let i = 0; i < 500; i++) {
    const text = Array.from({ length: random(60) }, () => 'ab\n\r👩'[random(5)]).join('');
    const r = wrap(text, 1 + random(7), 1000);
    let at = 0;
    r.starts.forEach((s, k) => {
      assert.match(text.slice(at, s), /^(\r?\n)?$/, JSON.stringify(text));
      at = r.ends[k]!;
    });
    assert.match(text.slice(at), /^(\r?\n)?$/, JSON.stringify(text));
    for (let p = 0; p < text.length; p++) {
      const row = rowAt(r, p);
      assert.ok(r.starts[row]! <= p && (row + 1 >= r.starts.length || r.starts[row + 1]! > p));
    }
  }
});

test('a search and what it marks', () => {
  const text = 'Aa.a(b)';
  const all = find(text, 'a', 10);
  assert.deepEqual(all.map((m) => m.start), [0, 1, 3]);
  assert.deepEqual(find(text, 'a(', 10), [{ start: 3, end: 5 }], 'not a pattern');
  assert.equal(find(text, 'a', 2).length, 2);
  assert.deepEqual(runs(text, 1, 5, all, all[2]), [
    { text: 'a', hit: true, now: false }, { text: '.', hit: false, now: false }, { text: 'a', hit: true, now: true }, { text: '(', hit: false, now: false },
  ]);
  assert.deepEqual(runs('xaay', 2, 4, find('xaay', 'aa', 9), undefined), [{ text: 'a', hit: true, now: false }, { text: 'y', hit: false, now: false }], 'across rows');
});
