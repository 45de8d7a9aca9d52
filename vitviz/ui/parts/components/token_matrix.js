// Tokens × tokens as a picture: a row looks, a column is looked at. Hovering or the arrow keys name
// the two and their number.

const SIDE = 514 // px of the marks' canvas

function paint(canvas, data, values) {
  const { count, low, high } = data
  canvas.width = canvas.height = count
  const context = canvas.getContext("2d")
  const pixels = context.createImageData(count, count)
  const palette = bytes(data.palette)
  const unit = 255 / (high - low || 1)
  values.forEach((value, i) => {
    const level = 3 * Math.min(255, Math.max(0, Math.round((value - low) * unit)))
    pixels.data.set([palette[level], palette[level + 1], palette[level + 2], 255], 4 * i)
  })
  context.putImageData(pixels, 0, 0)
}

function tokenName(data, index) {
  const patch = index - data.prefix
  if (patch < 0) return data.before.replace("{number}", index)
  return data.place.replace("{row}", Math.floor(patch / data.columns)).replace("{col}", patch % data.columns)
}

function draw(state) {
  const { data, values, marks, at, output } = state
  const [row, column] = at
  const unit = SIDE / data.count
  marks.width = marks.height = SIDE
  const context = marks.getContext("2d")
  const [x, y] = [(column + 0.5) * unit, (row + 0.5) * unit]
  for (const [colour, width] of [["#000", 4], ["#fff", 1.5]]) {
    context.strokeStyle = colour
    context.lineWidth = width
    context.beginPath()
    context.moveTo(0, y)
    context.lineTo(SIDE, y)
    context.stroke()
    context.strokeRect(x - 5, y - 5, 10, 10)
  }
  const value = values[row * data.count + column]
  output.textContent = data.readout
    .replace("{query}", tokenName(data, row))
    .replace("{key}", tokenName(data, column))
    .replace("{value}", value.toFixed(4))
}

function listen(state) {
  const { marks, data } = state
  const clamp = (index) => Math.min(data.count - 1, Math.max(0, index))
  const move = (row, column) => {
    state.at = [clamp(row), clamp(column)]
    draw(state)
  }
  const pointed = (event) => {
    const { left, top, width, height } = marks.getBoundingClientRect()
    const place = (share) => Math.floor(share * data.count)
    move(place((event.clientY - top) / height), place((event.clientX - left) / width))
  }
  marks.onpointermove = pointed
  marks.onpointerdown = pointed // a finger does not hover
  marks.onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key]
    if (!step) return
    event.preventDefault()
    move(state.at[0] + step[0], state.at[1] + step[1])
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".token-matrix")
  const state = (root.state ??= { held: {}, marks: root.querySelector(".marks"), output: root.querySelector("output") })
  state.asked = data
  state.marks.setAttribute("aria-label", data.alt)
  read(state.held, "values", data.values).then((found) => {
    if (state.asked !== data || !found) return
    const values = new Float32Array(found)
    const row = values.subarray(data.row * data.count, (data.row + 1) * data.count)
    Object.assign(state, { data, values, at: [data.row, row.indexOf(row.reduce((a, b) => Math.max(a, b)))] })
    paint(root.querySelector(".values"), data, values)
    listen(state)
    draw(state)
  })
}
