// Draws the photo and its heatmap; hovering shows where the patch under the cursor looks, a click
// or the arrow keys make it the query. Only that is sent to the server.

const PIN_AFTER_MS = 350 // pause in arrow keys after which the patch becomes the query

// Typed arrays instead of bytes. The rows are each row's smallest value, each row's largest, and
// between them one byte a number.
function decode(data, values, rows) {
  const [rowCount, colCount] = data.grid
  const count = rowCount * colCount
  return {
    ...data,
    rowCount,
    colCount,
    values: new Float32Array(values),
    palette: bytes(data.palette),
    rows: rows && {
      low: new Float32Array(rows, 0, count),
      high: new Float32Array(rows, 4 * count, count),
      levels: new Uint8Array(rows, 8 * count),
    },
  }
}

// The map to draw: the hovered patch's own row, or the pinned one. → {values, low, high}
function currentMap(state) {
  const { hover, rows, values, scale, own_scale: ownScale, rowCount, colCount } = state
  if (!hover || !rows) return { values, low: scale[0], high: scale[1] }
  const count = rowCount * colCount
  const index = hover[0] * colCount + hover[1]
  const low = rows.low[index]
  const step = (rows.high[index] - low) / 255
  const row = Float32Array.from(rows.levels.subarray(index * count, (index + 1) * count), (v) => low + v * step)
  return ownScale ? { values: row, low, high: rows.high[index] } : { values: row, low: scale[0], high: scale[1] }
}

function paintMap(state, map) {
  const { rowCount, colCount, palette } = state
  const small = new OffscreenCanvas(colCount, rowCount)
  const context = small.getContext("2d")
  const pixels = context.createImageData(colCount, rowCount)
  const span = map.high - map.low || 1
  map.values.forEach((value, i) => {
    const level = Math.min(255, Math.max(0, Math.round(((value - map.low) / span) * 255)))
    pixels.data.set([palette[3 * level], palette[3 * level + 1], palette[3 * level + 2], 255], 4 * i)
  })
  context.putImageData(pixels, 0, 0)
  return small
}

function outline(context, state, patch, width) {
  const [left, top, right, bottom] = state.box
  const w = (right - left) / state.colCount
  const h = (bottom - top) / state.rowCount
  const x = left + patch[1] * w
  const y = top + patch[0] * h
  for (const [colour, inset] of [["#000", 0], ["#fff", width]]) {
    context.strokeStyle = colour
    context.lineWidth = width
    context.strokeRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset)
  }
}

// A ring or a cross in the middle of a patch.
function mark(context, state, patch, width, shape) {
  const [left, top, right, bottom] = state.box
  const w = (right - left) / state.colCount
  const h = (bottom - top) / state.rowCount
  const path = shape(left + (patch[1] + 0.5) * w, top + (patch[0] + 0.5) * h, 0.36 * Math.min(w, h))
  for (const [colour, line] of [["#000", 2 * width], ["#fff", width]]) {
    context.strokeStyle = colour
    context.lineWidth = line
    context.stroke(path)
  }
}

function ring(x, y, radius) {
  const path = new Path2D()
  path.arc(x, y, radius, 0, 7)
  return path
}

const cross = (x, y, r) => new Path2D(`M${x - r} ${y - r}L${x + r} ${y + r}M${x - r} ${y + r}L${x + r} ${y - r}`)

// What the model did not see is dimmed, with a line around what it saw.
function dim(context, { box, size }, width) {
  const [left, top, right, bottom] = box
  const outside = new Path2D()
  outside.rect(0, 0, size[0], size[1])
  outside.rect(left, top, right - left, bottom - top)
  context.fillStyle = "rgb(0 0 0 / 55%)"
  context.fill(outside, "evenodd")
  context.strokeStyle = "#fff"
  context.lineWidth = width
  context.strokeRect(left, top, right - left, bottom - top)
}

// Whether a part of the photo lies outside what the model saw, by more than rounding.
const isCut = ({ box, size }) => box[0] > 1 || box[1] > 1 || box[2] < size[0] - 1 || box[3] < size[1] - 1

function draw(state) {
  const { canvas, image, size, box } = state
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    ;[canvas.width, canvas.height] = size
  }
  const context = canvas.getContext("2d")
  context.globalAlpha = 1
  context.drawImage(image, 0, 0, size[0], size[1])
  const map = currentMap(state)
  context.globalAlpha = state.alpha
  context.imageSmoothingEnabled = state.smooth
  const [left, top, right, bottom] = box
  context.drawImage(paintMap(state, map), left, top, right - left, bottom - top)
  context.globalAlpha = 1
  const line = Math.max(1.5, (2 * size[0]) / (canvas.clientWidth || size[0]))
  if (isCut(state)) dim(context, state, line / 2)
  for (const patch of state.marks) mark(context, state, patch, line, ring)
  for (const patch of state.crosses) mark(context, state, patch, line, cross)
  if (state.query) outline(context, state, state.query, line)
  if (state.hover) outline(context, state, state.hover, line)
  describe(state, map)
}

function number(value) {
  if (Math.abs(value) > 1 && Number.isInteger(value)) return String(value) // a count
  if (Math.abs(value) >= 100) return value.toFixed(1)
  return Math.abs(value) >= 0.001 || value === 0 ? value.toFixed(4) : value.toExponential(1)
}

function describe(state, map) {
  const { root, hover, rows, meaning, palette } = state
  root.querySelector(".low").textContent = number(map.low)
  const above = map.values.some((value) => value > map.high * 1.000001)
  root.querySelector(".high").textContent = (above ? "≥ " : "") + number(map.high)
  const bar = root.querySelector(".bar").getContext("2d")
  const strip = bar.createImageData(256, 1)
  for (let i = 0; i < 256; i++) {
    strip.data.set([palette[3 * i], palette[3 * i + 1], palette[3 * i + 2], 255], 4 * i)
  }
  bar.putImageData(strip, 0, 0)
  const bare = state.alpha === 0 // the photo alone: no colours to read
  for (const part of root.querySelectorAll(".low, .bar, .high")) part.hidden = bare
  let text = state.beside ? state.outside : meaning
  if (hover) {
    const value = state.values[hover[0] * state.colCount + hover[1]]
    text = state.place.replace("{row}", hover[0]).replace("{col}", hover[1])
    if (!bare) text += `: ${number(value)} ${meaning}`
    if (rows) text += ` · ${state.following}`
  }
  root.querySelector("output").textContent = text
}

// The patch under a pointer, or null beside the grid. The canvas is letterboxed to the right and
// below when the photo is tall (object-fit: contain, left top).
function patchAt(state, event) {
  const { canvas, size, box, rowCount, colCount } = state
  const scale = Math.max(size[0] / canvas.clientWidth, size[1] / canvas.clientHeight)
  const x = event.offsetX * scale
  const y = event.offsetY * scale
  const [left, top, right, bottom] = box
  if (x < left || x >= right || y < top || y >= bottom || x >= size[0] || y >= size[1]) return null
  return [
    Math.floor(((y - top) / (bottom - top)) * rowCount),
    Math.floor(((x - left) / (right - left)) * colCount),
  ]
}

function moved(state, key) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }
  if (!steps[key]) return null
  const from = state.hover ?? state.query ?? [state.rowCount >> 1, state.colCount >> 1]
  const clamp = (value, count) => Math.min(count - 1, Math.max(0, value))
  return [
    clamp(from[0] + steps[key][0], state.rowCount),
    clamp(from[1] + steps[key][1], state.colCount),
  ]
}

function listen(state) {
  const { canvas } = state
  const hover = (patch, beside = false) => {
    if (String(patch) === String(state.hover) && beside === state.beside) return
    Object.assign(state, { hover: patch, beside })
    draw(state)
  }
  const onPhoto = (event) => {
    const scale = Math.max(state.size[0] / canvas.clientWidth, state.size[1] / canvas.clientHeight)
    return event.offsetX * scale < state.size[0] && event.offsetY * scale < state.size[1]
  }
  const pin = (patch) => {
    clearTimeout(state.timer)
    if (state.takes_query) state.pin("query", patch ? patch.join(",") : "cls")
  }
  canvas.onpointermove = (event) => {
    if (event.pointerType === "touch") return
    const patch = patchAt(state, event)
    hover(patch, !patch && isCut(state) && onPhoto(event))
  }
  canvas.onpointerleave = () => hover(null)
  canvas.onblur = () => hover(null)
  canvas.onclick = (event) => {
    const patch = patchAt(state, event)
    if (patch) pin(String(patch) === String(state.query) ? null : patch)
    else hover(null, isCut(state) && onPhoto(event))
  }
  canvas.onkeydown = (event) => {
    if (event.key === "Escape") {
      hover(null)
      return pin(null)
    }
    if (event.key === "Enter" && state.hover) return pin(state.hover)
    const patch = moved(state, event.key)
    if (!patch) return
    event.preventDefault()
    hover(patch)
    clearTimeout(state.timer)
    state.timer = setTimeout(() => pin(patch), PIN_AFTER_MS)
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".patch-map")
  const canvas = root.querySelector("canvas")
  const state = (root.state ??= { root, canvas, image: new Image(), hover: null, beside: false, held: {} })
  const { image, held } = state
  canvas.setAttribute("aria-label", data.alt)
  canvas.style.cursor = data.takes_query ? "crosshair" : "default"
  canvas.style.aspectRatio = `${data.size[0]} / ${data.size[1]}`
  state.asked = data
  const numbers = [read(held, "values", data.values), read(held, "rows", data.rows)]
  const loaded = state.shown === data.photo && image.complete
  const ready = loaded ? null : new Promise((resolve) => (image.onload = resolve))
  if (state.shown !== data.photo) state.shown = image.src = data.photo
  Promise.all([...numbers, ready]).then(([values, rows]) => {
    // Drawn only if nothing newer is on its way.
    if (state.asked !== data || !values || Boolean(rows) !== Boolean(data.rows)) return
    Object.assign(state, decode(data, values, rows), { pin: setTriggerValue })
    listen(state)
    draw(state)
  })
}
