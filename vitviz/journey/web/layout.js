import { mix } from "./numbers.js"
import { layerGrid } from "./source.js"

// Where everything lies on the picture of the whole, in CSS pixels. `compact` goes from 0 (the whole)
// to 1 (a strip of maps above a detail).

const LABELS = 30 // above the columns, where the block's buttons lie
const GAP = 8
export const STRIP = 9 // a column of tokens

export function makeLayout(header, width, narrow, compact, compared = false) {
  const [rows, cols] = header.grid
  const layers = header.layers.length
  const side = mix(narrow ? 190 : Math.min(230, 0.24 * width), 118, compact)
  const photo = { x: 2, y: LABELS, w: Math.min(side, (side * cols) / rows), h: Math.min(side, (side * rows) / cols) }
  const first = photo.x + side + (narrow ? 22 : 34)
  const step = Math.max(narrow ? 76 : 30, (width - first - STRIP - 2) / layers)
  const full = first + step * layers + STRIP + 2
  const prefix = Math.min(header.prefix, 9)
  const strip = { y: LABELS + 6, unit: 11, h: mix(Math.max(200, photo.h), 0, compact) }
  strip.patches = strip.y + prefix * strip.unit + 6
  const tile = Math.min(step - STRIP - 4, narrow ? 62 : 72)
  const tiles = mix(strip.patches + strip.h + 14, LABELS, compact)
  const heads = tiles + (compared ? 2 : 1) * (tile + GAP)
  const most = Math.max(...header.layers.map(({ heads }) => heads))
  const across = Math.ceil(Math.sqrt(most * 0.7))
  const small = (tile + 2) / across - 2
  const down = Math.ceil(most / across)
  return {
    width: full,
    height: Math.max(photo.y + photo.h + 4, strip.patches + strip.h, heads + down * (small + 2) + 4),
    photo,
    strip,
    step,
    headsHeight: down * (small + 2),
    prefix,
    stripX: (boundary) => first + boundary * step,
    column: (block) => ({ x: first + block * step + STRIP + 2, w: step - STRIP - 4 }),
    // The middle of a token's place in a column of tokens: of the photo's patches, or of a layer's.
    tokenY: (token, layer = null) => {
      if (token < header.prefix) return strip.y + Math.min(token, prefix - 1) * strip.unit + strip.unit / 2
      const [down, across] = layer === null ? [rows, cols] : layerGrid(header, layer)
      return strip.patches + ((token - header.prefix + 0.5) / (down * across)) * strip.h
    },
    // Of the token that leads, and below it (1) of the one that it is compared with.
    tile: (block, which = 0) =>
      fit(first + block * step + STRIP + 2, tiles + which * (tile + GAP), tile, cols, rows),
    head: (block, head) =>
      fit(
        first + block * step + STRIP + 2 + (head % across) * (small + 2),
        heads + Math.floor(head / across) * (small + 2),
        small, cols, rows,
      ),
  }
}

// A rectangle of the grid's proportions in a square.
function fit(x, y, side, cols, rows) {
  const w = side * Math.min(1, cols / rows)
  const h = side * Math.min(1, rows / cols)
  return { x: x + (side - w) / 2, y: y + (side - h) / 2, w, h }
}

export const within = ({ x, y, w, h }, px, py) => px >= x && px < x + w && py >= y && py < y + h

// What lies under a point: {patch} of the photo or of a map, with {block} and {head} where it is one.
export function hit(layout, header, px, py) {
  const [rows, cols] = header.grid
  const patchIn = (place) =>
    `${Math.floor(((py - place.y) / place.h) * rows)},${Math.floor(((px - place.x) / place.w) * cols)}`
  if (within(layout.photo, px, py)) return { patch: patchIn(layout.photo), photo: true }
  for (const [block, { heads }] of header.layers.entries()) {
    const column = layout.column(block)
    if (px < column.x - STRIP - 2 || px > column.x + column.w + 2) continue
    if (within(layout.tile(block), px, py)) return { block, patch: patchIn(layout.tile(block)) }
    for (let head = 0; head < heads; head++)
      if (within(layout.head(block, head), px, py))
        return { block, head, patch: patchIn(layout.head(block, head)) }
    const { patches, h } = layout.strip
    if (px < column.x && py >= patches && py < patches + h) {
      const patch = Math.floor(((py - patches) / h) * rows * cols)
      return { patch: `${Math.floor(patch / cols)},${patch % cols}`, strip: true }
    }
    return { block }
  }
  return {}
}
