import assert from "node:assert/strict"
import { test } from "node:test"
import { STRIP, hit, makeLayout } from "../../../vitviz/journey/web/layout.js"
import { header } from "./helpers.mjs"

const MODELS = {
  "vit": header([16, 16], 1, Array(12).fill(6)),
  "one head": header([14, 14], 1, Array(12).fill(1)),
  "registers": header([16, 16], 5, Array(12).fill(6)),
  "no class token": header([14, 14], 0, Array(12).fill(12)),
  "many registers": header([8, 8], 40, Array(4).fill(4)),
  "wide": header([4, 12], 1, Array(3).fill(3)),
  "tall": header([12, 4], 1, Array(3).fill(3)),
  "one patch": header([1, 1], 1, [2]),
  "large": header([32, 32], 1, Array(24).fill(16)),
  "heads differ": header([7, 7], 1, [2, 4, 8]),
  "huge": header([16, 16], 1, Array(40).fill(24)),
}
const WIDTHS = [[320, true], [375, true], [640, false], [820, false], [1010, false], [1280, false]]
const WHOLE_AND_ZOOMED = [0, 0.5, 1]

function each(check) {
  for (const [name, about] of Object.entries(MODELS))
    for (const [width, narrow] of WIDTHS)
      for (const compact of WHOLE_AND_ZOOMED)
        for (const compared of [false, true])
          check(makeLayout(about, width, narrow, compact, compared), about, `${name}, ${width} px, ${compact}, ${compared}`)
}

const middle = ({ x, y, w, h }) => [x + w / 2, y + h / 2]

// Everything that lies on the picture: its rectangle, and what is hit in its middle.
function* things(layout, about, compared) {
  const [rows, cols] = about.grid
  const patch = `${rows >> 1},${cols >> 1}` // in whose corner, or middle, the picture's lies
  yield { name: "photo", place: layout.photo, expected: { patch, photo: true } }
  for (const [block, { heads }] of about.layers.entries()) {
    yield { name: `tile ${block}`, place: layout.tile(block), expected: { block, patch } }
    for (let head = 0; head < heads; head++)
      yield { name: `head ${block}.${head}`, place: layout.head(block, head), expected: { block, head, patch } }
    if (compared) yield { name: `second tile ${block}`, place: layout.tile(block, 1), expected: { block } }
  }
}

test("the middle of everything hits it", () =>
  each((layout, about, said) => {
    const compared = said.endsWith("true")
    for (const { name, place, expected } of things(layout, about, compared)) {
      const [x, y] = middle(place)
      assert.deepEqual(hit(layout, about, x + 1e-6, y + 1e-6), expected, `${name} in ${said}`)
    }
  }))

test("each patch of the photo and of the maps is hit in its middle", () =>
  each((layout, about, said) => {
    const [rows, cols] = about.grid
    const last = about.layers.length - 1
    const places = [layout.photo, layout.tile(0), layout.head(last, 0)]
    for (const { x, y, w, h } of places)
      for (let row = 0; row < rows; row++)
        for (let col = 0; col < cols; col++) {
          const found = hit(layout, about, x + ((col + 0.5) * w) / cols, y + ((row + 0.5) * h) / rows)
          assert.equal(found.patch, `${row},${col}`, said)
        }
  }))

test("each token of a column is hit at its height", () =>
  each((layout, about, said) => {
    if (layout.strip.h <= 20) return // not drawn
    const [rows, cols] = about.grid
    for (let patch = 0; patch < rows * cols; patch++) {
      const found = hit(layout, about, layout.stripX(0) + STRIP / 2, layout.tokenY(about.prefix + patch))
      assert.deepEqual(found, { patch: `${Math.floor(patch / cols)},${patch % cols}`, strip: true }, said)
    }
  }))

test("nothing overlaps, and all of it is on the picture", () =>
  each((layout, about, said) => {
    const places = [...things(layout, about, said.endsWith("true"))]
    const column = (at) => ({ x: layout.stripX(at), y: layout.strip.y, w: STRIP, h: layout.strip.patches + layout.strip.h - layout.strip.y })
    if (layout.strip.h > 20) for (let at = 0; at <= about.layers.length; at++) places.push({ name: `column ${at}`, place: column(at) })
    for (const { name, place: { x, y, w, h } } of places) {
      assert.ok(w > 0 && h > 0, `${name} in ${said}`)
      assert.ok(x >= 0 && y >= 0 && x + w <= layout.width + 1e-6 && y + h <= layout.height + 1e-6, `${name} in ${said}`)
    }
    const apart = (a, b) => a.x + a.w <= b.x + 1e-6 || b.x + b.w <= a.x + 1e-6 || a.y + a.h <= b.y + 1e-6 || b.y + b.h <= a.y + 1e-6
    const sorted = places.sort((a, b) => a.place.x - b.place.x)
    sorted.forEach((one, i) => {
      for (let j = i + 1; j < sorted.length && sorted[j].place.x < one.place.x + one.place.w; j++)
        assert.ok(apart(one.place, sorted[j].place), `${one.name} and ${sorted[j].name} in ${said}`)
    })
  }))

test("the whole fills the width that there is", () => {
  const layout = makeLayout(MODELS.vit, 1010, false, 0)
  assert.ok(layout.width <= 1010 && layout.width > 1000)
})

test("tokens lie in their order from top to bottom", () =>
  each((layout, about, said) => {
    if (layout.strip.h <= 20) return
    const count = about.prefix + about.grid[0] * about.grid[1]
    for (let token = 1; token < count; token++)
      assert.ok(layout.tokenY(token) >= layout.tokenY(token - 1), said)
  }))

test("the tokens of a coarser layer fill the same column", () => {
  const about = header([8, 8], 1, [1, 1])
  about.layers[1].grid = [4, 4]
  const { tokenY, strip } = makeLayout(about, 640, false, 0)
  for (const [layer, count] of [[null, 64], [0, 64], [1, 16]]) {
    const unit = strip.h / count
    assert.ok(Math.abs(tokenY(1, layer) - strip.patches - unit / 2) < 1e-9)
    assert.ok(Math.abs(tokenY(count, layer) - strip.patches - strip.h + unit / 2) < 1e-9)
  }
})

test("beside everything there is nothing", () => {
  const layout = makeLayout(MODELS.vit, 1010, false, 0)
  assert.deepEqual(hit(layout, MODELS.vit, -1, -1), {})
  assert.deepEqual(hit(layout, MODELS.vit, layout.width + 50, 40), {})
})
