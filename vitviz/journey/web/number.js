import { fill, node, percent } from "./dom.js"
import { attentionRow, products, scores } from "./numbers.js"
import { tokenName } from "./source.js"

// One number of a head's matrix: the products of query and key, their sum, the scale, the softmax.
export async function numberView(journey) {
  const { source, state, words } = journey
  const { header } = source
  const { block, head, query, key } = state
  const layer = await source.layer(block)
  const parts = products(layer, head, query, key)
  const sum = parts.reduce((a, b) => a + b, 0)
  const all = scores(layer, head, query)
  const share = attentionRow(layer, head, query)[key]
  const others = all.reduce((total, score) => total + Math.exp(score), 0)
  const name = (index) => journey.tokenWords(tokenName(header, index), index)
  const start = (head * layer.tokens + query) * layer.dim
  const keyStart = (Math.floor(head / layer.group) * layer.tokens + key) * layer.dim
  const readout = node("p", { class: "readout", "aria-live": "polite" }, words.product_help)
  const say = (d) =>
    (readout.textContent = fill(words.product, {
      d, q: layer.query[start + d].toFixed(3), k: layer.key[keyStart + d].toFixed(3), product: parts[d].toFixed(3),
    }))
  const step = (id, formula, value) =>
    node("li", {}, node("span", {}, words.steps[id]), node("code", {}, formula), node("strong", {}, value))
  return node(
    "div", { class: "number-view" },
    node("p", {}, fill(words.looks, { query: name(query), key: name(key), share: percent(share) })),
    bars(parts, say, words),
    readout,
    node(
      "ol", { class: "steps" },
      step("sum", `q·k = Σ q_d·k_d (d = 0 … ${layer.dim - 1})`, sum.toFixed(3)),
      step("scale", `× ${layer.scale.toFixed(4)}`, (sum * layer.scale).toFixed(3)),
      step("exp", `e^${(sum * layer.scale).toFixed(3)}`, Math.exp(sum * layer.scale).toPrecision(4)),
      step("share", `÷ ${others.toPrecision(4)} (Σ, ${layer.tokens})`, percent(share)),
    ),
  )
}

const SVG = "http://www.w3.org/2000/svg"

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

// A bar a dimension: up what draws query and key together, down what keeps them apart.
function bars(parts, say, words) {
  const [width, height] = [10 * parts.length, 160]
  const most = parts.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "products", role: "img", preserveAspectRatio: "none", "aria-label": words.products })
  parts.forEach((value, d) => {
    const tall = (Math.abs(value) / most) * (height / 2 - 4)
    const column = svg("g", { class: value < 0 ? "negative" : "positive" })
    column.append(
      svg("rect", { x: 10 * d + 1.5, width: 7, y: value < 0 ? height / 2 : height / 2 - tall, height: Math.max(1, tall) }),
      svg("rect", { x: 10 * d, width: 10, y: 0, height, fill: "transparent" }),
    )
    column.addEventListener("pointerenter", () => say(d))
    chart.append(column)
  })
  return chart
}
