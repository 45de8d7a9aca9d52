// A text whose pieces can be hovered, clicked and walked over with the arrow keys: where the one
// under the cursor looks, in the chosen head on the pieces themselves, in all heads below.

const percent = (share) => (share > 0.9995 && share < 1 ? "> 99.9%" : `${(100 * share).toFixed(1)}%`)

// Where a piece looks in a head: a share for each piece.
const row = ({ weights, count }, head, piece) =>
  weights.subarray((head * count + piece) * count, (head * count + piece + 1) * count)

const fill = (words, values) => words.replace(/{(\w+)}/g, (_, name) => values[name])

const largest = (shares) => shares.reduce((best, share, i) => (share > shares[best] ? i : best), 0)

function paint(state) {
  const { data, words, rows, said } = state
  const piece = state.hover ?? data.word
  const chosen = row(state, data.head, piece)
  words.forEach((button, i) => {
    button.style.setProperty("--share", chosen[i])
    button.classList.toggle("strong", chosen[i] > 0.6)
  })
  rows.forEach((button, head) => {
    const shares = row(state, head, piece)
    const best = largest(shares)
    button.title = fill(data.row, { head, best: data.pieces[best], share: percent(shares[best]) })
    button.setAttribute("aria-label", button.title)
    ;[...button.querySelectorAll("i")].forEach((cell, i) => {
      cell.style.setProperty("--share", shares[i])
      cell.classList.toggle("asks", i === piece)
    })
  })
  const best = largest(chosen)
  const values = { piece: data.pieces[piece], head: data.head, best: data.pieces[best] }
  said.textContent = fill(data.said, { ...values, share: percent(chosen[best]) })
}

function wordButton(state, text, i, send) {
  const button = document.createElement("button")
  button.type = "button"
  button.textContent = text
  button.dataset.id = i
  button.setAttribute("aria-pressed", String(i === state.data.word))
  const hover = (at) => () => {
    state.hover = at
    paint(state)
  }
  button.onpointerenter = button.onfocus = hover(i)
  button.onpointerleave = button.onblur = hover(null)
  button.onclick = () => send("word", String(i))
  return button
}

function headButton(state, head, send) {
  const button = document.createElement("button")
  button.type = "button"
  button.dataset.id = `head ${head}`
  button.setAttribute("aria-pressed", String(head === state.data.head))
  button.style.gridTemplateColumns = `2rem repeat(${state.count}, minmax(3px, 1fr))`
  const name = document.createElement("b")
  name.textContent = head
  button.append(name, ...Array.from({ length: state.count }, () => document.createElement("i")))
  button.onclick = () => send("head", String(head))
  return button
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".word-heads")
  const focused = root.getRootNode().activeElement?.dataset?.id
  const [words, rows] = [root.querySelector(".words"), root.querySelector(".rows")]
  words.setAttribute("aria-label", data.alt)
  rows.setAttribute("aria-label", data.rows_alt)
  const weights = new Float32Array(bytes(data.weights).buffer)
  const state = { data, weights, count: data.pieces.length, hover: null, said: root.querySelector("output") }
  state.words = data.pieces.map((text, i) => wordButton(state, text, i, setTriggerValue))
  state.rows = Array.from({ length: data.heads }, (_, head) => headButton(state, head, setTriggerValue))
  words.replaceChildren(...state.words)
  rows.replaceChildren(...state.rows)
  paint(state)
  walk(words, state.words, state.words.findIndex((button) => button.dataset.id === focused))
  walk(rows, state.rows, state.rows.findIndex((button) => button.dataset.id === focused))
}
