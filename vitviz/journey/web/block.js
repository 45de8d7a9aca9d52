import { fill, node } from "./dom.js"
import { hasProducts, matrix } from "./numbers.js"
import { firstHead, tokenIndex } from "./source.js"
import { length, matrixPicture, stripes } from "./vectors.js"

export const FAINT = 0.4 // power that lifts small attention out of the dark

// One block, station by station, for the token that leads and one of its heads.
export async function blockView(journey) {
  const { source, state, words, palette } = journey
  const { header } = source
  const { block } = state
  const head = state.head ?? 0
  const [layer, station] = await Promise.all([
    header.missing.layers || header.missing.matrices ? null : source.layer(block),
    stations(source, state.leader),
  ])
  const token = tokenIndex(header, state.leader)
  const name = journey.tokenWords(state.leader)
  const width = station?.state.length / (header.layers.length + 1)
  const of = (part, at, size) => station[part].subarray(at * size, (at + 1) * size)
  const vector = (values, label) => [stripes(values, `${label}, ${name}`), small(words, values)]
  const own = (values) => {
    const start = (head * layer.tokens + token) * layer.dim
    return values.subarray(start, start + layer.dim)
  }
  const cards = []
  const add = (id, formula, ...parts) => cards.push(card(words, id, formula, ...parts))

  if (station) add("norm", "LN(x)", ...vector(of("state", block, width), "x"), ...vector(of("normed", block, width), "LN(x)"))
  if (layer && hasProducts(layer) && token !== null)
    add("qk", "q = W_q·LN(x) + b", ...vector(own(layer.query), "q"), ...(layer.group === 1 ? vector(own(layer.key), "k") : []))
  if (layer && hasProducts(layer)) add("scores", "q·k / √d", picture(journey, layer, head, true))
  if (layer) add("softmax", "softmax", picture(journey, layer, head, false))
  const start = firstHead(header, block)
  add("sum", "Σ aⱼ·vⱼ", gazeTile(journey, head), ...(station?.heads ? vector(of("heads", start + head, station.heads.length / firstHead(header, header.layers.length)), "Σ a·v") : []))
  if (station) {
    add("projection", "W_o·[o₁ … o_H] + b", ...vector(of("attention", block, width), "W_o"))
    add("mlp", "MLP(LN(x′))", ...vector(of("mlp", block, width), "MLP"))
    add("residual", "x″ = x + W_o + MLP", ...vector(of("state", block + 1, width), "x″"))
  }
  const absent = [header.missing.matrices, header.missing.layers].filter(Boolean)
  if (!station) absent.push(header.missing.stream ?? header.missing.vectors ?? words.only_cls)
  return node(
    "div", { class: "block-view" },
    heads(journey, head),
    node("div", { class: "stations" }, ...cards),
    ...[...new Set(absent)].map((reason) => node("p", { class: "note" }, reason)),
  )
}

// What one token is at each station: arrays by name; null where that is not known.
async function stations(source, leader) {
  if (source.header.missing.stream || source.header.missing.vectors || tokenIndex(source.header, leader) === null) return null
  const names = ["state", "normed", "attention", "mlp", "heads"]
  const found = await Promise.all(names.map((name) => source.numbers(`${name} ${leader}`)))
  return found.every(Boolean) ? Object.fromEntries(names.map((name, i) => [name, found[i]])) : null
}

function card(words, id, formula, ...parts) {
  return node(
    "section", { class: `station station-${id}` },
    node("h3", {}, words.stations[id].title),
    node("code", {}, formula),
    ...parts,
    node("p", {}, words.stations[id].text),
  )
}

const small = (words, values) =>
  node("small", {}, fill(words.length, { count: values.length, length: length(values).toFixed(1) }))

function picture(journey, layer, head, raw) {
  const { words } = journey
  const canvas = matrixPicture(node("canvas", {}), matrix(layer, head, raw), layer.tokens, journey.palette, raw ? 1 : FAINT)
  return node(
    "button", { class: "matrix-button", title: words.open_head, "aria-label": words.open_head, onclick: () => journey.open({ view: "head", head }) },
    canvas,
  )
}

function gazeTile(journey, head) {
  const painted = journey.look.gaze[journey.state.block].heads[head]
  const canvas = node("canvas", { class: "gaze-tile", width: painted.width, height: painted.height, "aria-hidden": "true" })
  canvas.getContext("2d").drawImage(painted, 0, 0)
  return canvas
}

// The block's heads to choose from.
export function heads(journey, chosen) {
  const { state, words, look } = journey
  const buttons = look.gaze[state.block].heads.map((painted, head) => {
    const canvas = node("canvas", { width: painted.width, height: painted.height, "aria-hidden": "true" })
    canvas.getContext("2d").drawImage(painted, 0, 0)
    return node(
      "button", { class: "head-button", "aria-pressed": String(head === chosen), onclick: () => journey.open({ head }) },
      canvas, node("span", {}, fill(words.head, { head })),
    )
  })
  return node("div", { class: "heads", role: "group", "aria-label": words.heads }, ...buttons)
}

