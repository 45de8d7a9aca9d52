import assert from "node:assert/strict"
import { test } from "node:test"
import { ATTENTION, attended, blocksPassed, end, moment } from "../../../vitviz/journey/web/time.js"
import { tourSteps } from "../../../vitviz/journey/web/tour.js"
import { close } from "./helpers.mjs"

test("the stages follow one another, each from 0 to 1", () => {
  for (const layers of [1, 2, 12, 24]) {
    const seen = []
    let before = { stage: null, share: 0 }
    for (let time = 0; time <= end(layers) + 1e-9; time += 1 / 64) {
      const now = moment(time, layers)
      assert.ok(now.share >= 0 && now.share <= 1)
      const same = now.stage === before.stage && now.block === before.block
      if (same) assert.ok(now.share > before.share)
      else seen.push(now.block === null ? now.stage : `${now.stage} ${now.block}`)
      before = now
    }
    const blocks = Array.from({ length: layers }, (_, block) => [`attention ${block}`, `mlp ${block}`]).flat()
    assert.deepEqual(seen, ["patches", ...blocks, "classes"])
  }
})

test("the first and the last moment", () => {
  assert.deepEqual(moment(0, 12), { stage: "patches", block: null, share: 0 })
  assert.deepEqual(moment(end(12), 12), { stage: "classes", block: null, share: 1 })
})

test("a block has attended: its MLP is next", () => {
  for (let block = 0; block < 40; block++) {
    const now = moment(attended(block), 40)
    assert.deepEqual([now.stage, now.block], ["attention", block])
    close([now.share], [1], 1e-5)
    assert.equal(moment(attended(block) + 1e-5, 40).stage, "mlp")
  }
  close([attended(3)], [4 + ATTENTION], 1e-5)
})

test("the lens reads nothing before the first block and all at the end", () => {
  assert.deepEqual([0, 0.5, 1, 2, 4.5, 13, 14].map((time) => blocksPassed(time, 12)), [0, 0, 0, 1, 3.5, 12, 12])
})

test("the tour has eight steps from the first moment to the last, for any number of blocks", () => {
  for (const layers of [1, 2, 12, 40]) {
    const steps = tourSteps(layers)
    assert.equal(steps.length, 8)
    assert.equal(steps[0].from, 0)
    assert.equal(steps.at(-1).to, end(layers))
    for (const { from, to, block } of steps) {
      assert.ok(from <= to && to <= end(layers))
      assert.ok(block === undefined || block < layers)
    }
    assert.ok(!tourSteps(layers, false).some(({ view }) => view === "head"))
  }
})
