import { node, percent } from "./dom.js"
import { mix } from "./numbers.js"
import { tokenIndex } from "./source.js"

const ROW = 46 // px

// What the classifier would read of a token between two blocks: values of the classes that are
// followed, and of the token's own most probable class: [[class, value], …], largest first. Of “cls”
// it is what the classifier does read.
export function reading(header, lens, token, passed) {
  const classes = header.followed
  const tokens = header.prefix + header.grid[0] * header.grid[1]
  const of = token === "cls" ? lens.cls : lens.all
  const at = (layer) => {
    const row = token === "cls" ? layer : layer * tokens + tokenIndex(header, token)
    const found = new Map(classes.map((name, i) => [name, of.values[row * classes.length + i]]))
    return found.set(of.best[row], of.bestValue[row])
  }
  const [low, high] = [at(Math.floor(passed)), at(Math.ceil(passed))]
  const value = (end, name) => end.get(name) ?? Math.min(...end.values()) // not sent: less than most
  return [...new Set([...low.keys(), ...high.keys()])]
    .map((name) => [name, mix(value(low, name), value(high, name), passed % 1)])
    .sort((a, b) => b[1] - a[1])
}

// The list of classes beside the whole; rows move when their order changes.
export function classList(note) {
  const rows = new Map()
  const list = node("ol", { class: "class-rows" })
  const title = node("h2", {})
  const root = node("aside", { class: "classes" }, title, list, node("p", { class: "note" }, note))

  function row(name, label) {
    if (!rows.has(name)) {
      const bar = node("i", {})
      const value = node("b", {})
      const made = node("li", {}, node("span", {}, label), value, node("div", { class: "track" }, bar))
      rows.set(name, { made, bar, value })
      list.append(made)
    }
    return rows.get(name)
  }

  function show(heading, found, labels, outputs, count) {
    title.textContent = heading
    const shown = found.slice(0, count)
    const most = outputs === "score" ? Math.max(...shown.map(([, value]) => Math.abs(value)), 1e-9) : 1
    for (const { made } of rows.values()) made.classList.add("gone")
    shown.forEach(([name, value], rank) => {
      const { made, bar, value: text } = row(name, labels[name] ?? String(name))
      made.classList.remove("gone")
      made.style.transform = `translateY(${rank * ROW}px)`
      bar.style.width = `${Math.min(100, (100 * Math.abs(value)) / most)}%`
      text.textContent = outputs === "score" ? value.toFixed(2) : percent(value)
    })
    list.style.height = `${shown.length * ROW}px`
  }

  return { root, show }
}
