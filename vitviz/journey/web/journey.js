import { blockView } from "./block.js"
import { classList, reading } from "./classes.js"
import { fill, node, percent, sharp } from "./dom.js"
import { headView } from "./head.js"
import { hit, makeLayout } from "./layout.js"
import { clamp, halves, largest } from "./numbers.js"
import { numberView } from "./number.js"
import { paintGaze, tokenColumns } from "./paint.js"
import { drawScene, shownBlock, shownHead } from "./scene.js"
import { layerGrid, tokenIn } from "./source.js"
import { attended, blocksPassed, end, moment } from "./time.js"
import { SECONDS, tourSteps } from "./tour.js"

const BLOCKS_A_SECOND = 0.85
const ZOOM_MS = 420
const NARROW = 640 // px: below it the picture of the whole is wider than the screen and is swiped
const VIEWS = ["whole", "block", "head", "number"]

// The journey of one photo in `root`. → {arrived, themed, leave}: to be called when an array that was
// asked for has come, when colours may have changed, and when the page goes.
export async function mountJourney(root, source, words, palette) {
  const { header } = source
  const layers = header.layers.length
  if (header.missing.matrices) header.missing.stream = header.missing.matrices // nor are there vectors
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches
  const state = {
    time: still ? end(layers) : 0, playing: false, view: "whole", block: null, head: null,
    query: null, key: null, leader: "cls", beside: null, choosing: false, hover: {}, tour: null,
  }
  const look = {
    photo: await createImageBitmap(new Blob([await source.bytes("photo")], { type: "image/jpeg" })),
    gaze: null, beside: null, ink: "#888", faint: "#8883", accent: "#d9a514", font: "sans-serif", names: words.rows,
  }
  look.columns = tokenColumns(header, look.photo)
  const lens = header.followed && await readLens(source)
  let layout = null
  let compact = 0
  let dirty = false
  let left = false

  const canvas = node("canvas", { class: "scene", tabindex: "0", role: "application", "aria-label": words.scene })
  const columns = node("div", { class: "columns" })
  const whole = node("div", { class: "whole" }, canvas, columns)
  const scroll = node("div", { class: "scroll" }, whole)
  const hasClasses = header.answer.length > 0
  const hasMatrices = !header.missing.layers && !header.missing.matrices
  const list = classList(lens ? words.lens_help : hasClasses ? header.missing.lens ?? header.missing.stream : words.no_classes)
  const play = node("button", { class: "play primary", onclick: () => setPlaying(!state.playing) })
  const slider = node("input", {
    type: "range", min: 0, max: end(layers), step: 0.01, "aria-label": words.time,
    oninput: () => { setPlaying(false); setTime(Number(slider.value)) },
  })
  const status = node("p", { class: "status", "aria-live": "polite" })
  const tourButton = node("button", { class: "tour-button", onclick: () => setTour(state.tour === null ? 0 : null) }, words.tour)
  const follow = node("div", { class: "follow" })
  const crumbs = node("nav", { class: "crumbs", "aria-label": words.crumbs })
  const detail = node("div", { class: "detail" })
  const caption = node("div", { class: "caption", role: "status" })
  const view = node(
    "div", { class: "journey" },
    node("div", { class: "bar" }, play, slider, tourButton),
    caption,
    node("div", { class: "stage" }, scroll, list.root),
    node("div", { class: "below" }, status, follow),
    crumbs,
    detail,
  )
  root.replaceChildren(view)

  const journey = { source, state, words, palette, look, open, tokenWords }

  function tokenWords(name, index) {
    if (name === "cls") return header.has_class_token ? words.class_token : words.all_patches
    if (name === null) return fill(words.register, { index })
    const [row, column] = name.split(",")
    return fill(words.patch, { row, column })
  }

  async function readLens(from) {
    const of = async (end) => {
      const [values, best, bestValue] = await Promise.all(
        ["followed", "best", "best_value"].map((name) => from.bytes(name + end)),
      )
      return { values: halves(values), best: new Uint16Array(best), bestValue: halves(bestValue) }
    }
    return { all: await of(""), cls: await of(" cls") }
  }

  async function lead(token) {
    state.leader = token
    const gaze = await source.gaze(token)
    if (state.leader !== token || left) return
    look.gaze = paintGaze(header, gaze, palette)
    showFollow()
    if (state.view !== "whole") showDetail()
    changed()
  }

  async function compare(token) {
    state.beside = token
    state.choosing = false
    look.beside = token && paintGaze(header, await source.gaze(token), palette)
    measure()
    showFollow()
  }

  function setTime(time) {
    state.time = clamp(time, 0, end(layers))
    slider.value = state.time
    changed()
  }

  function setPlaying(playing) {
    if (playing && state.time >= end(layers)) state.time = 0
    state.playing = playing
    play.textContent = playing ? words.pause : words.play
    play.setAttribute("aria-pressed", String(playing))
    if (playing && state.view !== "whole") open({ view: "whole" })
    if (playing && still) { // no movement: from block to block
      state.playing = false
      play.textContent = words.play
      const now = moment(state.time, layers)
      return setTime(now.stage === "patches" ? attended(0) : (now.block ?? layers) + 1 < layers ? attended(now.block + 1) : end(layers))
    }
    changed()
  }

  function changed() {
    if (!dirty) requestAnimationFrame(frame)
    dirty = true
  }

  let before = 0
  function frame(now) {
    if (left) return
    dirty = false
    const passed = Math.min(100, now - before)
    before = now
    if (state.playing) {
      setTime(state.time + (passed / 1000) * BLOCKS_A_SECOND * (state.time < 1 ? 0.45 : 1))
      keepInSight()
      if (state.time >= (state.until ?? end(layers))) setPlaying(false)
    }
    const aim = state.view === "whole" ? 0 : 1
    if (compact !== aim) {
      compact = still ? aim : clamp(compact + (aim ? 1 : -1) * (passed / ZOOM_MS), 0, 1)
      measure(false)
      changed()
    }
    const context = sharp(canvas, layout.width, layout.height)
    drawScene(context, layout, header, state, look)
    showReading()
    if (state.playing) changed()
  }

  // On a narrow screen the picture moves along with the present block.
  function keepInSight() {
    const { block } = moment(state.time, layers)
    const x = block === null ? (state.time < 1 ? 0 : layout.width) : layout.column(block).x - 0.6 * scroll.clientWidth
    if (scroll.scrollWidth > scroll.clientWidth) scroll.scrollLeft += (x - scroll.scrollLeft) * 0.08
  }

  function measure(colours = true) {
    const narrow = view.clientWidth < NARROW
    layout = makeLayout(header, Math.max(320, scroll.clientWidth || 900), narrow, compact, state.beside !== null)
    if (colours) {
      const style = getComputedStyle(view)
      Object.assign(look, { ink: style.color, faint: style.outlineColor, accent: style.accentColor, font: style.fontFamily })
    }
    whole.style.width = `${layout.width}px`
    whole.style.height = `${layout.height}px`
    showColumns()
    changed()
  }

  function showColumns() {
    if (columns.childElementCount !== layers + 1)
      columns.replaceChildren(
        node("span", {}, words.blocks),
        ...header.layers.map((_, block) =>
          node("button", {
            title: fill(words.open_block, { block }), "aria-label": fill(words.open_block, { block }),
            onclick: () => open({ view: "block", block }),
          }, String(block)),
        ),
      )
    columns.firstChild.style.width = `${layout.column(0).x - 10}px`
    header.layers.forEach((_, block) => {
      const { x, w } = layout.column(block)
      const button = columns.childNodes[block + 1]
      Object.assign(button.style, { left: `${x}px`, width: `${w}px` })
      button.setAttribute("aria-pressed", String(block === state.block))
    })
  }

  let said = ""
  function showReading() {
    const now = moment(state.time, layers)
    if (lens) {
      const passed = blocksRead()
      const found = reading(header, lens, state.leader, passed)
      list.show(headingOf(passed), found, header.labels, header.outputs, state.view === "whole" ? 5 : 2)
    } else if (hasClasses) list.show(words.answer, header.answer, header.labels, header.outputs, 5)
    const sentence = statusOf(now)
    if (sentence !== said) status.textContent = said = sentence
  }

  // After how many blocks the lens reads: between two only while it moves, for there is no number.
  function blocksRead() {
    if (state.block !== null) return state.block + 1
    const passed = blocksPassed(state.time, layers)
    return state.playing ? passed : Math.floor(passed)
  }

  function headingOf(passed) {
    const classified = state.leader === "cls" && !header.reads_class_token
    const token = classified ? words.all_patches : tokenWords(state.leader)
    if (passed === layers) return fill(words.at_end, { token })
    if (passed > 0) return fill(words.so_far, { token, block: Math.ceil(passed) - 1 })
    return fill(state.leader === "cls" && !classified ? words.before_cls : words.before, { token })
  }

  function statusOf(now) {
    const [rows, cols] = header.grid
    if (state.hover.patch) return patchNow(state.hover.patch, now)
    if (now.stage === "patches") return fill(words.status.patches, { count: rows * cols, rows, cols, height: header.patch[0], width: header.patch[1] })
    if (now.stage === "classes") return hasClasses ? words.status.classes : words.no_classes
    const block = state.block ?? now.block
    if (!look.gaze) return ""
    const { mean } = look.gaze[block]
    const most = largest(mean.subarray(header.prefix), 1)[0]
    const [down, across] = layerGrid(header, block)
    const place = { row: Math.floor(most / across), column: most % across, rows: down, columns: across }
    const patch = fill(header.layers[block].grid ? words.cell : words.patch, place)
    return fill(words.status[now.stage], { block, token: tokenWords(state.leader), patch })
  }

  // How much of the leading token's gaze a patch has, in what lies on the photo.
  function patchNow(patch, now) {
    const block = shownBlock(state, now, layers)
    if (block === null || !look.gaze) return tokenWords(patch)
    const head = shownHead(state)
    const { mean, rows } = look.gaze[block]
    const share = percent((head === null ? mean : rows[head])[tokenIn(header, block, patch)])
    const where = [fill(words.block, { block }), head !== null && fill(words.head, { head })].filter(Boolean).join(", ")
    return `${where}: ${fill(words.looks, { query: tokenWords(state.leader), key: tokenWords(patch), share })}`
  }

  function showFollow() {
    const chips = [node("span", {}, fill(words.follows, { token: tokenWords(state.leader) }))]
    if (state.leader !== "cls") chips.push(node("button", { onclick: () => lead("cls") }, fill(words.follow_cls, { token: tokenWords("cls") })))
    if (state.beside) chips.push(node("span", { class: "beside" }, fill(words.beside, { token: tokenWords(state.beside) })), node("button", { onclick: () => compare(null) }, words.end_compare))
    else chips.push(node("button", { "aria-pressed": String(state.choosing), onclick: () => { state.choosing = !state.choosing; showFollow() } }, state.choosing ? words.choose_second : words.compare))
    follow.replaceChildren(...chips)
  }

  // Show something else: what is not named stays. A step back is `back`.
  function open(change) {
    const { block } = state
    const held = focused()
    const opens = state.view === "whole" && change.view && change.view !== "whole"
    Object.assign(state, change)
    view.classList.toggle("opened", state.view !== "whole")
    if (opens) view.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" })
    if (state.view === "whole") Object.assign(state, { block: null, head: null })
    if (state.view === "block" || state.view === "whole") Object.assign(state, { query: null, key: null })
    if (state.view === "head") state.head ??= 0
    if (change.view && change.view !== "whole") setTime(attended(state.block))
    if (change.view && change.view !== "whole" && state.playing) setPlaying(false)
    state.hover = {}
    showColumns()
    showCrumbs()
    showDetail().then(() => {
      if (held && !focused() && !left) (landing() ?? columns.childNodes[block + 1]).focus({ preventScroll: true })
    })
    changed()
  }

  // What has the keyboard, of what is made anew when another view opens; and where it goes then.
  function focused() {
    const { activeElement } = view.getRootNode()
    return crumbs.contains(activeElement) || detail.contains(activeElement)
  }
  const landing = () => detail.querySelector("[aria-pressed=true]") ?? crumbs.querySelector("button")

  function back() {
    const depth = VIEWS.indexOf(state.view)
    if (depth > 0) open({ view: VIEWS[depth - 1] })
  }

  function showCrumbs() {
    const depth = VIEWS.indexOf(state.view)
    if (depth === 0) return crumbs.replaceChildren()
    const names = [words.whole, fill(words.block, state), fill(words.head, state), words.number].slice(0, depth + 1)
    crumbs.replaceChildren(
      node("button", { class: "back", onclick: back }, words.back),
      ...names.map((name, i) => node("button", { disabled: i === depth, onclick: () => open({ view: VIEWS[i] }) }, name)),
    )
  }

  let asked = 0
  async function showDetail() {
    const made = { block: blockView, head: headView, number: numberView }[state.view]
    const own = ++asked
    if (!made) return detail.replaceChildren()
    detail.setAttribute("aria-busy", "true")
    const found = await made(journey)
    if (own !== asked || left) return
    detail.removeAttribute("aria-busy")
    detail.replaceChildren(found)
  }

  function setTour(step) {
    clearTimeout(state.timer)
    state.tour = step
    const steps = tourSteps(layers, hasMatrices)
    tourButton.setAttribute("aria-pressed", String(step !== null))
    if (step === null || step >= steps.length) {
      state.tour = null
      state.until = undefined
      return caption.replaceChildren()
    }
    const { from, to, ...opened } = steps[step]
    const values = {
      block: opened.block ?? 0, heads: header.layers[opened.block ?? 0].heads,
      count: header.grid[0] * header.grid[1], token: tokenWords("cls"),
    }
    caption.replaceChildren(
      node("p", {}, node("b", {}, `${step + 1}/${steps.length} `), fill(tourText(step), values)),
      node("button", { onclick: () => setTour(step - 1), disabled: step === 0 }, words.previous),
      node("button", { class: "primary", onclick: () => setTour(step + 1) }, step === steps.length - 1 ? words.done : words.next),
    )
    open(opened)
    state.until = to
    if (opened.view === "whole") {
      setTime(still ? to : from)
      if (!still && to > from) setPlaying(true)
    }
    state.timer = setTimeout(() => setTour(step + 1), 1000 * SECONDS)
  }

  // A caption speaks of what this model has.
  function tourText(step) {
    const { without } = words
    if (step === 1 && !header.has_class_token) return without.class_token
    if (step === 3 && header.missing.stream) return without.stations
    if (step === 4 && !hasMatrices) return without.matrices
    if (step === 6 && !lens) return without.lens
    return words.tour_steps[step]
  }

  function place(event) {
    const { left: x, top: y } = canvas.getBoundingClientRect()
    return hit(layout, header, event.clientX - x, event.clientY - y)
  }

  canvas.addEventListener("pointermove", (event) => {
    state.hover = place(event)
    canvas.style.cursor = state.hover.photo || state.hover.strip || state.hover.block !== undefined ? "pointer" : "default"
    changed()
  })
  canvas.addEventListener("pointerleave", () => { state.hover = {}; changed() })
  canvas.addEventListener("click", (event) => {
    const found = place(event)
    if (found.photo || found.strip) choose(found.patch)
    else if (found.head !== undefined && hasMatrices) open({ view: "head", block: found.block, head: found.head })
    else if (found.block !== undefined) open({ view: "block", block: found.block, head: null })
  })

  function choose(patch) {
    if (header.missing.layers) return void (status.textContent = header.missing.layers)
    if (state.choosing) compare(patch)
    else lead(patch === state.leader ? "cls" : patch)
  }

  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    const [rows, cols] = header.grid
    if (moves) {
      const [row, column] = (state.hover.patch ?? `${rows >> 1},${cols >> 1}`).split(",").map(Number)
      state.hover = { patch: `${clamp(row + moves[0], 0, rows - 1)},${clamp(column + moves[1], 0, cols - 1)}` }
      event.preventDefault()
      changed()
    } else if (event.key === "Enter" && state.hover.patch) choose(state.hover.patch)
  })
  view.addEventListener("keydown", (event) => { if (event.key === "Escape") back() })

  const resized = new ResizeObserver(() => measure())
  resized.observe(view)
  measure()
  setPlaying(false)
  showFollow()
  await lead("cls")
  if (!still) setPlaying(true)

  return {
    source,
    state,
    arrived: source.arrived,
    themed: measure,
    leave() {
      left = true
      clearTimeout(state.timer)
      resized.disconnect()
    },
  }
}

