import { layerGrid } from "./source.js"
import { extent, largest, meanRow } from "./numbers.js"

// Small pictures that are made once and then drawn at any size: heatmaps, and the tokens' colours.

const CURVES = 18 // of a block: each head's strongest, drawn as lines
const ROUNDING = 2e-3 // of the largest value: what differs by less differs by float16 alone

export function surface(width, height) {
  return typeof OffscreenCanvas === "undefined"
    ? Object.assign(document.createElement("canvas"), { width, height })
    : new OffscreenCanvas(width, height)
}

// Values on the grid in the palette's colours, the smallest to the largest of them.
export function heatPicture(values, cols, rows, palette) {
  const picture = surface(cols, rows)
  const context = picture.getContext("2d")
  const pixels = context.createImageData(cols, rows)
  const [low, high] = extent(values)
  const unit = high - low > ROUNDING * Math.abs(high) ? 255 / (high - low) : 0
  for (let i = 0; i < values.length; i++) {
    const level = 3 * Math.round((values[i] - low) * unit)
    pixels.data.set([palette[level], palette[level + 1], palette[level + 2], 255], 4 * i)
  }
  context.putImageData(pixels, 0, 0)
  return picture
}

// A token's gaze in every block: pictures of the mean and of each head, the mean's weights, and the
// strongest tokens as [token, head, share of the strongest].
export function paintGaze(header, gaze, palette) {
  let start = 0
  return header.layers.map(({ heads }, block) => {
    const [rows, cols] = layerGrid(header, block)
    const tokens = header.prefix + rows * cols
    const own = gaze.subarray(start, (start += heads * tokens))
    const mean = meanRow(own, tokens, 0, heads)
    const patches = (row) => row.subarray(header.prefix)
    const rowsOf = Array.from({ length: heads }, (_, head) => own.subarray(head * tokens, (head + 1) * tokens))
    const strongest = rowsOf.flatMap((row, head) =>
      largest(row, Math.max(1, Math.round(CURVES / heads))).map((token) => ({ token, head, weight: row[token] })),
    )
    const most = Math.max(...strongest.map(({ weight }) => weight))
    return {
      mean,
      rows: rowsOf,
      most: mean.reduce((a, b) => Math.max(a, b), 0),
      picture: heatPicture(patches(mean), cols, rows, palette),
      heads: rowsOf.map((row) => heatPicture(patches(row), cols, rows, palette)),
      curves: strongest.map((curve) => ({ ...curve, share: curve.weight / most })),
    }
  })
}

// A column of tokens in front of each layer and behind the last: each patch in its mean colour.
export function tokenColumns(header, photo) {
  const made = new Map()
  const column = (grid) => {
    const name = String(grid)
    if (!made.has(name)) made.set(name, patchColours(photo, grid[1], grid[0]))
    return made.get(name)
  }
  const columns = header.layers.map((_, layer) => column(layerGrid(header, layer)))
  return [...columns, columns.at(-1)]
}

// Each patch as one pixel of its mean colour, in a column.
function patchColours(photo, cols, rows) {
  const grid = surface(cols, rows)
  const context = grid.getContext("2d", { willReadFrequently: true })
  context.imageSmoothingQuality = "high"
  context.drawImage(photo, 0, 0, cols, rows)
  const column = surface(1, cols * rows)
  const pixels = new ImageData(context.getImageData(0, 0, cols, rows).data, 1, cols * rows)
  column.getContext("2d").putImageData(pixels, 0, 0)
  return column
}

// Eight colours that are told apart with any kind of colour vision (Okabe & Ito 2008), then hues.
const HEADS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"]
export const headColour = (head, heads) =>
  heads <= HEADS.length ? HEADS[head] : `hsl(${(360 * head) / heads} 75% 58%)`
