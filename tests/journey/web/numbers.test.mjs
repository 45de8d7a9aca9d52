import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { attentionRow, halves, hasProducts, largest, matrix, meanRow, products, scores, softmax } from "../../../vitviz/journey/web/numbers.js"
import { close, random } from "./helpers.mjs"

// Written by NumPy beside this run.
test("every float16 is the number that NumPy reads", { skip: !process.env.HALVES && "NumPy writes it" }, () => {
  const file = readFileSync(process.env.HALVES)
  const expected = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.length))
  const found = halves(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer)
  assert.equal(found.length, 65536)
  for (let bits = 0; bits < 65536; bits++) assert.ok(Object.is(found[bits], expected[bits]), `${bits}: ${found[bits]}`)
})

test("a softmax by hand", () => {
  close(softmax([0, Math.log(2), Math.log(5)]), [1 / 8, 2 / 8, 5 / 8])
})

test("a softmax of large numbers is finite and sums to 1", () => {
  const found = softmax([1000, 1001, -1000])
  close(found, [1 / (1 + Math.E), Math.E / (1 + Math.E), 0])
})

// Two query heads of three dimensions share one key head.
const layer = (() => {
  const [tokens, dim] = [5, 3]
  return { tokens, dim, group: 2, scale: 0.25, query: random(4 * tokens * dim, 1), key: random(2 * tokens * dim, 2) }
})()

const byHand = (head, query, key) => {
  let sum = 0
  for (let d = 0; d < 3; d++)
    sum += layer.query[(head * 5 + query) * 3 + d] * layer.key[((head >> 1) * 5 + key) * 3 + d]
  return sum
}

test("products sum to the score over the scale", () => {
  for (let head = 0; head < 4; head++)
    for (let query = 0; query < 5; query++) {
      const found = scores(layer, head, query)
      for (let key = 0; key < 5; key++) {
        const sum = products(layer, head, query, key).reduce((a, b) => a + b, 0)
        close([sum, found[key] / layer.scale], [byHand(head, query, key), sum])
      }
    }
})

test("a row sums to 1, and is the softmax of the scores", () => {
  for (let head = 0; head < 4; head++) {
    const row = attentionRow(layer, head, 3)
    close([row.reduce((a, b) => a + b, 0)], [1])
    close(row, softmax([0, 1, 2, 3, 4].map((key) => byHand(head, 3, key) * layer.scale)))
  }
})

test("a map's row is its levels times a 255th of its largest value", () => {
  const tokens = 2
  const sent = { tokens, map: Uint8Array.from([0, 255, 51, 255, 255, 0, 255, 255]), most: Float32Array.from([0.5, 0.6, 1, 0.5]) }
  assert.ok(!hasProducts(sent))
  assert.ok(hasProducts(layer))
  close(attentionRow(sent, 0, 0), [0, 0.5])
  close(attentionRow(sent, 0, 1), [0.12, 0.6])
  close(attentionRow(sent, 1, 0), [1, 0])
  close(matrix(sent, 1), [1, 0, 0.5, 0.5])
})

test("a matrix holds its rows one behind the other, or the scores", () => {
  const rows = [0, 1, 2, 3, 4].flatMap((query) => [...attentionRow(layer, 2, query)])
  close(matrix(layer, 2), rows)
  const raw = [0, 1, 2, 3, 4].flatMap((query) => [...scores(layer, 2, query)])
  close(matrix(layer, 2, true), raw)
})

test("the mean of some rows", () => {
  close(meanRow(Float32Array.from([9, 9, 1, 2, 3, 6]), 2, 1, 3), [2, 4])
})

test("the largest first", () => {
  assert.deepEqual(largest(Float32Array.from([0.1, 5, -2, 3]), 3), [1, 3, 0])
  assert.deepEqual(largest([1], 5), [0])
})
