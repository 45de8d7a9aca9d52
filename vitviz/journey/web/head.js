import { FAINT, heads } from "./block.js"
import { fill, node, percent, sharp } from "./dom.js"
import { hasProducts, largest, matrix } from "./numbers.js"
import { heatPicture } from "./paint.js"
import { outline } from "./scene.js"
import { tokenIndex, tokenName } from "./source.js"
import { matrixPicture } from "./vectors.js"

const SIDE = 380 // px of the matrix

// One head's whole matrix beside the photo: a row is where a token looks, a column who looks at it.
export async function headView(journey) {
  const { source, state, words, palette } = journey
  const { header, tokens } = source
  const layer = await source.layer(state.block)
  const values = matrix(layer, state.head)
  const queries = tokenIndex(header, state.leader) ?? header.prefix
  const at = { query: queries, key: largest(values.subarray(queries * tokens, (queries + 1) * tokens), 1)[0], column: false }

  const picture = matrixPicture(node("canvas", { class: "matrix" }), values, tokens, palette, FAINT)
  const marks = node("canvas", { class: "marks", tabindex: "0", role: "application", "aria-label": words.matrix })
  const photo = node("canvas", { class: "head-photo", role: "application", "aria-label": words.head_photo })
  const readout = node("p", { class: "readout", "aria-live": "polite" })
  const strongest = node("ol", { class: "strongest" })
  const openNumber = node("button", { class: "primary", onclick: () => journey.open({ view: "number", query: at.query, key: at.key }) }, words.open_number)
  const direction = node("div", { class: "choice", role: "group", "aria-label": words.direction })
  for (const [column, text] of [[false, words.row], [true, words.column]])
    direction.append(node("button", { "aria-pressed": String(column === at.column), onclick: () => turn(column) }, text))

  function turn(column) {
    at.column = column
    direction.childNodes.forEach((button, i) => button.setAttribute("aria-pressed", String(Boolean(i) === column)))
    draw()
  }

  const line = () =>
    at.column
      ? Float32Array.from({ length: tokens }, (_, query) => values[query * tokens + at.key])
      : values.subarray(at.query * tokens, (at.query + 1) * tokens)

  function draw() {
    const row = line()
    const context = sharp(photo, 300, (300 * header.grid[0]) / header.grid[1])
    const place = { x: 0, y: 0, w: 300, h: (300 * header.grid[0]) / header.grid[1] }
    context.drawImage(journey.look.photo, 0, 0, place.w, place.h)
    context.globalAlpha = 0.72
    context.drawImage(heatPicture(row.subarray(header.prefix), header.grid[1], header.grid[0], palette), 0, 0, place.w, place.h)
    context.globalAlpha = 1
    const named = (index, colour) => {
      const name = tokenName(header, index)
      if (name && name !== "cls") outline(context, place, header.grid, name, colour)
    }
    named(at.query, "#d9a514")
    named(at.key, "#fff")
    const crossing = sharp(marks, SIDE, SIDE)
    crossing.clearRect(0, 0, SIDE, SIDE)
    const unit = SIDE / tokens
    const [x, y] = [(at.key + 0.5) * unit, (at.query + 0.5) * unit]
    for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
      crossing.strokeStyle = colour
      crossing.lineWidth = width
      crossing.beginPath()
      if (at.column) { crossing.moveTo(x, 0); crossing.lineTo(x, SIDE) }
      else { crossing.moveTo(0, y); crossing.lineTo(SIDE, y) }
      crossing.stroke()
      crossing.strokeRect(x - 4, y - 4, 8, 8)
    }
    readout.textContent = fill(words.looks, {
      query: journey.tokenWords(tokenName(header, at.query), at.query),
      key: journey.tokenWords(tokenName(header, at.key), at.key),
      share: percent(values[at.query * tokens + at.key]),
    })
    strongest.replaceChildren(
      ...largest(row, 5).map((index) =>
        node("li", {}, `${journey.tokenWords(tokenName(header, index), index)}: ${percent(row[index])}`),
      ),
    )
    journey.drawn?.()
  }

  const cell = (event) => {
    const { left, top, width, height } = marks.getBoundingClientRect()
    const place = (share) => Math.min(tokens - 1, Math.max(0, Math.floor(share * tokens)))
    return { key: place((event.clientX - left) / width), query: place((event.clientY - top) / height) }
  }
  marks.addEventListener("pointermove", (event) => { Object.assign(at, cell(event)); draw() })
  marks.addEventListener("click", (event) => {
    Object.assign(at, cell(event))
    if (hasProducts(layer)) journey.open({ view: "number", ...cell(event) })
  })
  marks.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: ["key", -1], ArrowRight: ["key", 1], ArrowUp: ["query", -1], ArrowDown: ["query", 1] }[event.key]
    if (event.key === "Enter" && hasProducts(layer)) {
      event.preventDefault() // it would press what has the focus then
      journey.open({ view: "number", query: at.query, key: at.key })
    }
    if (!step) return
    event.preventDefault()
    at[step[0]] = Math.min(tokens - 1, Math.max(0, at[step[0]] + step[1]))
    draw()
  })
  // On the photo the cursor chooses the token whose row, or column, is shown.
  const pointed = (event) => {
    const { left, top, width, height } = photo.getBoundingClientRect()
    const [rows, cols] = header.grid
    const row = Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - top) / height) * rows)))
    const col = Math.min(cols - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * cols)))
    at[at.column ? "key" : "query"] = tokenIndex(header, `${row},${col}`)
    draw()
  }
  for (const kind of ["pointermove", "pointerdown"]) photo.addEventListener(kind, pointed) // a finger does not hover

  const view = node(
    "div", { class: "head-view" },
    heads(journey, state.head),
    node("div", { class: "head-parts" },
      node("figure", {}, photo, node("figcaption", {}, words.head_photo_help)),
      node("figure", {}, node("div", { class: "matrix-stack" }, picture, marks), node("figcaption", {}, fill(words.matrix_help, { tokens }))),
      node("div", { class: "head-text" }, direction, readout, node("h3", {}, words.strongest), strongest,
        hasProducts(layer) ? openNumber : node("p", { class: "note" }, words.no_products)),
    ),
  )
  draw()
  return view
}
