import assert from "node:assert/strict"
import { test } from "node:test"
import { attentionRow } from "../../../vitviz/journey/web/numbers.js"
import { cellIn, firstHead, layerGrid, makeSource, tokenIn, tokenIndex, tokenName } from "../../../vitviz/journey/web/source.js"
import { bytes, close, header, random } from "./helpers.mjs"

// Float16 of the numbers 1, 2, 3 …
const counting = (length) => bytes(Uint16Array.from({ length }, (_, i) => [0x3c00, 0x4000, 0x4200, 0x4400][i % 4]))
const settled = () => new Promise((resolve) => setImmediate(resolve))

// A server: what is sent is here once it has been asked for and come.
function server(about) {
  const here = new Map()
  const asked = []
  const fetched = []
  const fetchArray = async (name) => (fetched.push(name), here.get(name) ?? null)
  const source = makeSource(about, fetchArray, (names) => asked.push(names))
  const send = (...names) => {
    for (const name of names) here.set(name, counting(8))
    return source.arrived()
  }
  return { source, asked, fetched, send, here }
}

const small = header([2, 2], 1, [1, 1])

test("what is at hand is not asked for", async () => {
  const { source, asked, here } = server(small)
  here.set("gaze cls", counting(4))
  close(await source.numbers("gaze cls"), [1, 2, 3, 4])
  assert.deepEqual(asked, [])
})

test("a name is fetched and asked for once, however often it is needed", async () => {
  const { source, asked, fetched, send } = server(small)
  const answers = [source.layer(1), source.layer(1), source.numbers("query 1")]
  await settled()
  assert.deepEqual(fetched, ["query 1", "key 1"])
  assert.deepEqual(asked.at(-1), ["query 1", "key 1"])
  await send("query 1", "key 1")
  const [first, second, query] = await Promise.all(answers)
  assert.equal(first, second)
  close(query, first.query)
  const before = asked.length
  await source.layer(1)
  assert.equal(asked.length, before)
})

test("what did not come is asked for again, and what came is not", async () => {
  const { source, asked, send } = server(small)
  const layer = source.layer(0)
  await settled()
  const gaze = source.gaze("1,1")
  await settled()
  assert.deepEqual(asked.at(-1), ["query 0", "key 0", "gaze 1,1"])
  await send("gaze 1,1") // the answer to the second question alone
  close(await gaze, [1, 2, 3, 4, 1, 2, 3, 4])
  assert.deepEqual(asked.at(-1), ["query 0", "key 0"])
  await send("query 0", "key 0")
  assert.equal((await layer).tokens, 5)
  const before = asked.length
  await source.arrived()
  assert.equal(asked.length, before)
})

test("a page answers from what it holds: null for what it does not", async () => {
  const source = makeSource(small, async () => null)
  assert.equal(await source.numbers("state 1,1"), null)
})

test("in a page a patch's gaze is made from queries and keys", async () => {
  const about = header([2, 2], 1, [2, 1])
  const source = makeSource(about, async (name) => {
    const heads = about.layers[Number(name.split(" ")[1])].heads
    return bytes(Uint16Array.from(random(heads * 5 * 2, name.length), (value) => 0x3000 + Math.round(1000 * (value + 1))))
  })
  const gaze = await source.gaze("1,0")
  assert.equal(gaze.length, 3 * 5)
  const [first, second] = await Promise.all([source.layer(0), source.layer(1)])
  close(gaze, [...attentionRow(first, 0, 3), ...attentionRow(first, 1, 3), ...attentionRow(second, 0, 3)])
})

test("maps come as bytes and each row's largest value", async () => {
  const about = header([1, 1], 1, [1])
  about.layers = [{ heads: 1 }]
  const held = { "map 0": Uint8Array.from([255, 0, 51, 255]), "most 0": Float32Array.from([1, 0.5]) }
  const source = makeSource(about, async (name) => bytes(held[name]))
  close(await source.gaze("0,0"), [0.1, 0.5])
})

test("a token's number and its name are each other's inverse", () => {
  for (const prefix of [0, 1, 5])
    for (const grid of [[2, 2], [3, 7], [7, 3], [1, 1]]) {
      const about = header(grid, prefix, [1])
      for (let index = 0; index < prefix + grid[0] * grid[1]; index++) {
        const name = tokenName(about, index)
        if (name === null) assert.ok(index > 0 && index < prefix)
        else assert.equal(tokenIndex(about, name), index)
      }
    }
  assert.equal(tokenIndex(header([3, 7], 5, [1]), "2,4"), 5 + 18)
})

test("without a class token “cls” is no token, and registers alone have no name", () => {
  assert.equal(tokenIndex(header([2, 2], 0, [1]), "cls"), null)
  const registers = { ...header([2, 2], 4, [1]), has_class_token: false }
  assert.equal(tokenName(registers, 0), null)
  assert.equal(tokenName(registers, 4), "0,0")
})

test("a layer with a coarser grid has the patch that contains one", () => {
  const about = header([8, 12], 1, [1, 1])
  about.layers[1].grid = [4, 6]
  assert.deepEqual(layerGrid(about, 0), [8, 12])
  assert.deepEqual(layerGrid(about, 1), [4, 6])
  for (const [patch, row, column] of [["0,0", 0, 0], ["1,1", 0, 0], ["2,3", 1, 1], ["7,11", 3, 5]]) {
    assert.deepEqual(cellIn(about, 1, patch), [row, column])
    assert.equal(tokenIn(about, 1, patch), 1 + 6 * row + column)
    assert.equal(tokenIn(about, 0, patch), tokenIndex(about, patch))
  }
  assert.equal(tokenIn(about, 1, "cls"), 0)
})

test("heads are counted through the layers", () => {
  const about = header([2, 2], 1, [3, 6, 2])
  assert.deepEqual([0, 1, 2, 3].map((layer) => firstHead(about, layer)), [0, 3, 9, 11])
})
