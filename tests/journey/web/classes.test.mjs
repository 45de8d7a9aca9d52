import assert from "node:assert/strict"
import { test } from "node:test"
import { reading } from "../../../vitviz/journey/web/classes.js"
import { close, header, random } from "./helpers.mjs"

const about = header([1, 2], 1, [1, 1], { followed: [7, 3] })
// (3 layers' ends, 3 tokens, 2 classes), and each token's most probable class, which may be one of
// those or not.
const lens = {
  all: { values: random(18, 5), best: Uint16Array.from([7, 9, 7, 7, 8, 3, 9, 9, 9]), bestValue: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]) },
  cls: { values: random(6, 6), best: Uint16Array.from([1, 3, 7]), bestValue: Float32Array.from([2, 3, 4]) },
}
const valuesOf = (found) => Object.fromEntries(found)

test("at a block's end it is the lens, with the token's own best class", () => {
  const found = valuesOf(reading(about, lens, "0,1", 1)) // token 2, row 5
  assert.deepEqual(Object.keys(found).sort(), ["3", "7"])
  close([found[7], found[3]], [lens.all.values[10], 6]) // its best is class 3
  const first = valuesOf(reading(about, lens, "0,0", 0)) // token 1
  close([first[7], first[3], first[9]], [lens.all.values[2], lens.all.values[3], 2])
})

test("“cls” has what the classifier reads, not the class token's own", () => {
  const found = valuesOf(reading(about, lens, "cls", 0))
  close([found[7], found[3], found[1]], [lens.cls.values[0], lens.cls.values[1], 2])
  assert.deepEqual(reading(about, lens, "cls", 2)[0], [7, 4])
})

test("the largest is first", () => {
  for (const passed of [0, 0.4, 1, 1.7, 2])
    for (const token of ["cls", "0,0", "0,1"]) {
      const values = reading(about, lens, token, passed).map(([, value]) => value)
      assert.deepEqual(values, [...values].sort((a, b) => b - a))
    }
})

test("between two blocks it is between", () => {
  const [low, high] = [0, 1].map((passed) => valuesOf(reading(about, lens, "0,0", passed)))
  for (const share of [0.01, 0.5, 0.99]) {
    const found = valuesOf(reading(about, lens, "0,0", share))
    assert.deepEqual(Object.keys(found).sort(), ["3", "7", "8", "9"])
    for (const name of [7, 3]) close([found[name]], [low[name] + (high[name] - low[name]) * share])
    // Known at one end only: from or to the least that is known at the other.
    close([found[9]], [2 + (Math.min(high[7], high[3], high[8]) - 2) * share])
  }
})

test("scores below 0 have their order too", () => {
  const scores = { ...lens, cls: { values: Float32Array.from([-1, -5, -1, -5, -1, -5]), best: Uint16Array.from([7, 7, 7]), bestValue: Float32Array.from([-1, -1, -1]) } }
  assert.deepEqual(reading(about, scores, "cls", 0.5), [[7, -1], [3, -5]])
})
