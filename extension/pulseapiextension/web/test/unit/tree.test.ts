import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldedTo, jsonLines, path, print, reveal, search, textOf, unfolded } from '../../src/exchange/tree.ts';

const text = '{"id":12345678901234567890,"a b":[1.50,{"k":"}]"},[]],"e":{},"n":null,"u":"\\u00e9"}';

test('JSON as lines, digits and escapes as written', () => {
  const lines = jsonLines(text)!;
  assert.equal(print(lines), `{
  "id": 12345678901234567890,
  "a b": [
    1.50,
    {
      "k": "}]"
    },
    []
  ],
  "e": {},
  "n": null,
  "u": "\\u00e9"
}`);
  assert.deepEqual(lines.map((_, i) => path(lines, i)), [
    '$', '$.id', '$["a b"]', '$["a b"][0]', '$["a b"][1]', '$["a b"][1].k', '$["a b"][1]', '$["a b"][2]', '$["a b"]', '$.e', '$.n', '$.u', '$',
  ]);
  assert.equal(textOf(lines, 11), 'é');
  assert.equal(textOf(lines, 4), '{\n  "k": "}]"\n}');
});

test('fold and search', () => {
  const lines = jsonLines(text)!;
  assert.deepEqual(unfolded(lines, new Set([2])), [0, 1, 2, 9, 10, 11, 12]);
  assert.deepEqual(unfolded(lines, new Set([0])), [0]);
  const folded = foldedTo(lines, 1);
  assert.deepEqual([...folded], [2, 4]);
  assert.deepEqual(search(lines, 'K', 10), [5]);
  assert.deepEqual([...reveal(lines, folded, 5)], []);
  assert.deepEqual(search(lines, '}]', 10), [5]);
});

test('not JSON', () => {
  for (const bad of ['', '{', '{"a":1,}', 'nope', '[1 2]']) assert.equal(jsonLines(bad), null, bad);
  for (const one of ['1', '"x"', 'null', '[]', '{}']) assert.equal(print(jsonLines(one)!), one);
});

test('deep nesting does not break it', () => {
  const deep = '['.repeat(5000) + ']'.repeat(5000);
  assert.equal(jsonLines(deep)!.length, 4999 * 2 + 1);
});

test('whatever JSON goes in, the same comes out', () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const value = (depth: number): unknown => {
    switch (random(depth > 4 ? 4 : 6)) {
      case 0: return random(1000) / 8;
      case 1: return [true, false, null][random(3)];
      case 2: return Array.from({ length: random(5) }, () => '"\\{}[]:,\n\u2028é👩 a'[random(14)]).join('');
      case 3: return -random(1e9);
      case 4: return Array.from({ length: random(4) }, () => value(depth + 1));
      default: return Object.fromEntries(Array.from({ length: random(4) }, (_, i) => [['k', '', '"', '}'][i]!, value(depth + 1)]));
    }
  };
  for (let i = 0; i < 2000; i++) {
    const v = value(0);
    assert.deepEqual(JSON.parse(print(jsonLines(JSON.stringify(v))!)), v);
    assert.equal(print(jsonLines(JSON.stringify(v))!), JSON.stringify(v, null, 2));
  }
});

test('any JSON reads as it is printed', () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n; // the same values each time
  const strings = ['', 'a', '\\', '"', '\\"', 'x\\\\', '{}[],:', ' ', '\n\t', '\u2028', '€', 'true', '\ud83d\ude00'];
  const make = (deep: number): unknown => {
    switch (random(deep > 4 ? 4 : 6)) {
      case 0: return strings[random(strings.length)];
      case 1: return [0, -1, 1.5, 1e21, -2.5e-7][random(5)];
      case 2: return [true, false, null][random(3)];
      case 3: return random(2) ? [] : {};
      case 4: return Array.from({ length: random(5) }, () => make(deep + 1));
      default: return Object.fromEntries(Array.from({ length: random(5) }, (_, i) => [strings[random(strings.length)]! + i, make(deep + 1)]));
    }
  };
  for (let n = 0; n < 2000; n++) {
    const v = make(0);
    assert.equal(print(jsonLines(JSON.stringify(v))!), JSON.stringify(v, null, 2));
    assert.equal(print(jsonLines(JSON.stringify(v, null, '\t'))!), JSON.stringify(v, null, 2));
  }
});

test('5 MB of small values are a tree', () => {
  const rows = Array.from({ length: 46_000 }, (_, id) => ({ id, name: `customer ${id}`, tags: ['a', 'b', 'c'], address: { street: 'Main Street 1', city: 'Berlin' }, total: 12.5 }));
  const whole = JSON.stringify(rows);
  assert.ok(whole.length > 5_000_000);
  const lines = jsonLines(whole)!;
  assert.equal(lines.length, 2 + 46_000 * 14);
  assert.equal(unfolded(lines, foldedTo(lines, 1)).length, 46_002);
  assert.equal(path(lines, search(lines, 'customer 45999', 10)[0]!), '$[45999].name');
});
