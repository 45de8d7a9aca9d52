import { node } from "./dom.js"
import { extent } from "./numbers.js"

const POSITIVE = [217, 95, 2]
const NEGATIVE = [27, 120, 190]

// A vector as a row of stripes: orange above 0, blue below, white at 0.
export function stripes(vector, label) {
  const canvas = node("canvas", { class: "stripes", width: vector.length, height: 1, role: "img", "aria-label": label })
  const context = canvas.getContext("2d")
  const pixels = context.createImageData(vector.length, 1)
  const most = vector.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1
  vector.forEach((value, i) => {
    const share = Math.sqrt(Math.abs(value) / most) // small numbers are to be seen too
    const colour = value < 0 ? NEGATIVE : POSITIVE
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = 255 + (colour[c] - 255) * share
    pixels.data[4 * i + 3] = 255
  })
  context.putImageData(pixels, 0, 0)
  return canvas
}

export const length = (vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))

// A (tokens × tokens) array as a picture in the palette's colours; values are raised to `power`, so
// that the many small ones of attention differ.
export function matrixPicture(canvas, values, tokens, palette, power = 1) {
  Object.assign(canvas, { width: tokens, height: tokens })
  const context = canvas.getContext("2d")
  const pixels = context.createImageData(tokens, tokens)
  const [low, high] = extent(values)
  const span = high - low || 1
  const words = new Uint32Array(pixels.data.buffer)
  const colours = Uint32Array.from({ length: 256 }, (_, i) => {
    return (255 << 24) | (palette[3 * i + 2] << 16) | (palette[3 * i + 1] << 8) | palette[3 * i]
  })
  for (let i = 0; i < values.length; i++)
    words[i] = colours[Math.round(255 * ((values[i] - low) / span) ** power)]
  context.putImageData(pixels, 0, 0)
  return canvas
}
