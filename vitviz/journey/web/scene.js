import { STRIP } from "./layout.js"
import { clamp, ease, mix } from "./numbers.js"
import { headColour } from "./paint.js"
import { cellIn, layerGrid, tokenIndex } from "./source.js"
import { ATTENTION, moment } from "./time.js"

// Draws the whole at one moment. `look` holds what is made once: photo, columns (of the tokens'
// colours), gaze (of the token that leads), beside (of the one it is compared with), ink, paper, gold.

const GOLD = "#d9a514"
const BESIDE = "#56b4e9"

export function drawScene(context, layout, header, state, look) {
  const now = moment(state.time, header.layers.length)
  context.clearRect(0, 0, layout.width, layout.height)
  drawPhoto(context, layout, header, state, look, now)
  if (layout.strip.h > 20) drawTokens(context, layout, header, state, look, now)
  drawMaps(context, layout, header, state, look, now)
  if (layout.strip.h > 20) drawNames(context, layout, look)
  drawHover(context, layout, header, state, look)
}

// What the rows are, in the free space under the photo.
function drawNames(context, layout, { ink, font, names }) {
  context.fillStyle = ink
  context.font = `13px ${font}`
  context.textBaseline = "middle"
  const { y, h } = layout.tile(0)
  const first = layout.head(0, 0)
  const heads = first.y + layout.headsHeight / 2
  for (const [text, at] of [[names.mean, y + h / 2], [names.heads, heads]])
    context.fillText(text, layout.photo.x, at, layout.stripX(0) - layout.photo.x - 8)
}

// The block whose gaze lies on the photo: the one under the cursor, the open one, or the present one.
export function shownBlock(state, now, layers) {
  const chosen = state.hover.block ?? state.block ?? now.block
  return chosen ?? (now.stage === "classes" ? layers - 1 : null)
}

// The head of it, or null where it is their mean.
export const shownHead = (state) => (state.hover.block === undefined ? state.head : state.hover.head) ?? null

function drawPhoto(context, layout, header, state, look, now) {
  const { photo } = layout
  const block = shownBlock(state, now, header.layers.length)
  context.globalAlpha = now.stage === "patches" && block === null ? 1 - 0.55 * ease(now.share) : 1
  context.drawImage(look.photo, photo.x, photo.y, photo.w, photo.h)
  if (block !== null && look.gaze) {
    const begins = now.stage === "attention" && block === now.block ? ease(clamp(2 * now.share, 0, 1)) : 1
    const lay = (picture, alpha) => {
      context.globalAlpha = 0.72 * alpha
      context.drawImage(picture, photo.x, photo.y, photo.w, photo.h)
    }
    const head = shownHead(state)
    const painted = look.gaze[block]
    if (begins < 1 && block > 0) lay(look.gaze[block - 1].picture, 1 - begins)
    lay(head === null ? painted.picture : painted.heads[head], begins)
  }
  context.globalAlpha = now.stage === "patches" ? 0.9 * ease(clamp(now.share * 3, 0, 1)) : 0.16
  drawGrid(context, photo, header.grid)
  context.globalAlpha = 1
  if (state.leader !== "cls") outline(context, photo, header.grid, state.leader, GOLD)
  if (state.beside) outline(context, photo, header.grid, state.beside, BESIDE)
}

function drawGrid(context, { x, y, w, h }, [rows, cols]) {
  context.strokeStyle = "#fff"
  context.lineWidth = 0.6
  context.beginPath()
  for (let row = 1; row < rows; row++) {
    context.moveTo(x, y + (row * h) / rows)
    context.lineTo(x + w, y + (row * h) / rows)
  }
  for (let col = 1; col < cols; col++) {
    context.moveTo(x + (col * w) / cols, y)
    context.lineTo(x + (col * w) / cols, y + h)
  }
  context.stroke()
}

export function outline(context, { x, y, w, h }, [rows, cols], patch, colour) {
  const [row, col] = patch.split(",").map(Number)
  for (const [line, stroke] of [[4, "#000"], [2, colour]]) {
    context.lineWidth = line
    context.strokeStyle = stroke
    context.strokeRect(x + (col * w) / cols, y + (row * h) / rows, w / cols, h / rows)
  }
}

// The columns of tokens, the stream of the leading one through them, and the lines of its gaze.
function drawTokens(context, layout, header, state, look, now) {
  const layers = header.layers.length
  if (now.stage === "patches") drawFlight(context, layout, header, look, now.share)
  const reached = now.stage === "patches" ? -1 : now.stage === "classes" ? layers : now.block
  for (let boundary = 0; boundary <= layers; boundary++) {
    const there = boundary <= reached || (boundary === reached + 1 && now.stage === "mlp")
    const gaze = boundary === now.block && now.stage === "attention" ? look.gaze?.[boundary] : null
    drawColumn(context, layout, header, look, boundary, there, gaze)
  }
  if (!look.gaze) return
  for (let block = 0; block < Math.min(layers, reached + 1); block++) {
    const present = block === now.block
    const share = present ? (now.stage === "attention" ? now.share : 1) : 1
    drawCurves(context, layout, header, state, look.gaze[block], block, share, present)
  }
  drawStream(context, layout, header, state, now, reached)
}

// Each patch on its way from the photo into the first column, the upper ones first.
function drawFlight(context, layout, header, look, share) {
  const [rows, cols] = header.grid
  const { photo, strip } = layout
  const count = rows * cols
  const sw = look.photo.width / cols
  const sh = look.photo.height / rows
  const x1 = layout.stripX(0)
  for (let i = 0; i < count; i++) {
    const gone = ease(clamp((share - 0.25) * 2.6 - (1.6 * i) / count, 0, 1))
    if (gone === 0 || (gone === 1 && share < 1)) continue
    const row = Math.floor(i / cols)
    const col = i % cols
    const x = photo.x + (col * photo.w) / cols
    const y = photo.y + (row * photo.h) / rows
    const w = photo.w / cols + (STRIP - photo.w / cols) * gone
    const h = photo.h / rows + (Math.max(1, strip.h / count) - photo.h / rows) * gone
    const arc = Math.sin(Math.PI * gone) * -18
    context.drawImage(
      look.photo, col * sw, row * sh, sw, sh,
      x + (x1 - x) * gone, y + (layout.tokenY(header.prefix + i) - y) * gone + arc, w, h,
    )
  }
  const landed = clamp((share - 0.25) * 2.6 - 1, 0, 1.6) / 1.6
  const { patches, h } = strip
  const shown = Math.round(landed * count)
  const column = look.columns[0]
  if (shown) context.drawImage(column, 0, 0, 1, (column.height * shown) / count, x1, patches, STRIP, (h * shown) / count)
}

function drawColumn(context, layout, header, look, boundary, there, gaze) {
  const { strip } = layout
  const x = layout.stripX(boundary)
  context.globalAlpha = there ? (gaze ? 0.35 : 0.9) : 0.12
  for (let token = 0; token < layout.prefix; token++) {
    context.fillStyle = token === 0 && header.has_class_token ? GOLD : look.ink
    context.fillRect(x, strip.y + token * strip.unit, STRIP, strip.unit - 2)
  }
  context.imageSmoothingEnabled = false
  context.drawImage(look.columns[boundary], x, strip.patches, STRIP, strip.h)
  context.imageSmoothingEnabled = true
  if (gaze) {
    const count = gaze.mean.length - header.prefix
    const unit = strip.h / count
    for (let i = 0; i < count; i++) {
      const alpha = gaze.mean[header.prefix + i] / gaze.most
      if (alpha < 0.08) continue
      context.globalAlpha = alpha
      context.drawImage(look.columns[boundary], 0, i, 1, 1, x - 2 * alpha, strip.patches + i * unit, STRIP + 4 * alpha, Math.max(1.5, unit))
    }
  }
  context.globalAlpha = 1
}

// Lines from the tokens that the leading one reads to it, in the colours of the heads.
function drawCurves(context, layout, header, state, gaze, block, share, present) {
  const x0 = layout.stripX(block) + STRIP
  const x1 = layout.stripX(block + 1)
  const y1 = leaderY(layout, header, state.leader)
  const only = state.hover.block === block ? state.hover.head : undefined
  for (const { token, head, share: weight } of gaze.curves) {
    if (only !== undefined && only !== head) continue
    const y0 = layout.tokenY(token, block)
    context.strokeStyle = headColour(head, gaze.heads.length)
    const strength = Math.sqrt(weight)
    context.globalAlpha = (present ? 0.3 + 0.7 * strength : 0.08 + 0.42 * strength) * Math.min(1, 2 * share)
    context.lineWidth = 0.6 + 2 * weight
    context.beginPath()
    context.moveTo(x0, y0)
    const bend = (x1 - x0) * 0.55
    context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1)
    context.stroke()
    if (!present || share >= 1) continue
    const [px, py] = bezier(x0, y0, x1, y1, bend, ease(share))
    context.globalAlpha = 0.4 + 0.6 * weight
    context.fillStyle = context.strokeStyle
    context.beginPath()
    context.arc(px, py, 1.6 + 2.2 * weight, 0, 7)
    context.fill()
  }
  context.globalAlpha = 1
}

function bezier(x0, y0, x1, y1, bend, t) {
  const u = 1 - t
  const at = (a, b, c, d) => u * u * u * a + 3 * u * u * t * b + 3 * u * t * t * c + t * t * t * d
  return [at(x0, x0 + bend, x1 - bend, x1), at(y0, y0, y1, y1)]
}

function leaderY(layout, header, leader) {
  const index = tokenIndex(header, leader)
  return index === null ? layout.strip.patches + layout.strip.h / 2 : layout.tokenY(index)
}

// The line along which the leading token is carried on and added to, to where it is now.
function drawStream(context, layout, header, state, now, reached) {
  const y = leaderY(layout, header, state.leader)
  const inside = { attention: ATTENTION * now.share, mlp: mix(ATTENTION, 1, now.share) }[now.stage] ?? 0
  const x = layout.stripX(0) + STRIP / 2 + layout.step * (now.stage === "patches" ? 0 : Math.min(reached + inside, header.layers.length))
  context.strokeStyle = GOLD
  context.lineWidth = 2.5
  context.beginPath()
  context.moveTo(layout.stripX(0) + STRIP / 2, y)
  context.lineTo(x, y)
  context.stroke()
  const glow = now.stage === "mlp" ? Math.sin(Math.PI * now.share) : 0
  context.fillStyle = GOLD
  context.beginPath()
  context.arc(x, y, 4.5 + 3 * glow, 0, 7)
  context.fill()
}

// Where the leading token looks in each block: the mean of its heads on the photo, and each head.
function drawMaps(context, layout, header, state, look, now) {
  const layers = header.layers.length
  const reached = now.stage === "classes" ? layers : now.stage === "patches" ? -1 : now.block
  for (let block = 0; block < layers; block++) {
    const painted = look.gaze?.[block]
    const come = block < reached ? 1 : block > reached ? 0 : now.stage === "mlp" ? 1 : ease(now.share)
    const column = layout.column(block)
    if (block === (state.block ?? now.block)) {
      context.fillStyle = look.accent
      context.globalAlpha = 0.12
      context.fillRect(column.x - 3, 0, column.w + 6, layout.height)
    }
    const tile = layout.tile(block)
    context.globalAlpha = 0.25 + 0.75 * come
    context.drawImage(look.photo, tile.x, tile.y, tile.w, tile.h)
    if (painted && come) {
      context.globalAlpha = 0.75 * come
      context.drawImage(painted.picture, tile.x, tile.y, tile.w, tile.h)
    }
    if (look.beside) {
      const below = layout.tile(block, 1)
      context.globalAlpha = 1
      context.drawImage(look.photo, below.x, below.y, below.w, below.h)
      context.globalAlpha = 0.75
      context.drawImage(look.beside[block].picture, below.x, below.y, below.w, below.h)
      context.globalAlpha = 1
      frame(context, below, BESIDE)
    }
    for (let head = 0; head < header.layers[block].heads; head++) {
      const place = layout.head(block, head)
      context.globalAlpha = 1
      context.fillStyle = look.faint
      context.fillRect(place.x, place.y, place.w, place.h)
      if (!painted || !come) continue
      context.globalAlpha = come
      context.imageSmoothingEnabled = false
      context.drawImage(painted.heads[head], place.x, place.y, place.w, place.h)
      context.imageSmoothingEnabled = true
      if (block === state.block && head === state.head) frame(context, place, GOLD)
    }
    context.globalAlpha = 1
  }
}

function frame(context, { x, y, w, h }, colour) {
  context.strokeStyle = colour
  context.lineWidth = 2
  context.strokeRect(x - 1, y - 1, w + 2, h + 2)
}

// One thing under the cursor, marked wherever it appears.
function drawHover(context, layout, header, state, look) {
  const { patch, block, head } = state.hover
  if (head !== undefined) frame(context, layout.head(block, head), look.accent)
  else if (block !== undefined) frame(context, layout.tile(block), look.accent)
  if (!patch) return
  outline(context, layout.photo, header.grid, patch, "#fff")
  const y = layout.tokenY(tokenIndex(header, patch))
  for (let at = 0; at <= header.layers.length; at++) {
    if (layout.strip.h > 20) {
      context.fillStyle = "#fff"
      context.fillRect(layout.stripX(at) - 2, y - 1.5, STRIP + 4, 3)
      context.strokeStyle = "#000"
      context.lineWidth = 0.8
      context.strokeRect(layout.stripX(at) - 2, y - 1.5, STRIP + 4, 3)
    }
    if (at === header.layers.length) continue
    const tile = layout.tile(at)
    const [rows, cols] = layerGrid(header, at)
    const [row, col] = cellIn(header, at, patch)
    context.lineWidth = 1.2
    context.strokeStyle = "#fff"
    context.strokeRect(tile.x + (col * tile.w) / cols, tile.y + (row * tile.h) / rows, tile.w / cols, tile.h / rows)
  }
}
