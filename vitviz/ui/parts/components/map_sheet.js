// Many small maps over the same photo; a click opens one.

function paint(canvas, image, map, levels, data) {
  const [rows, cols] = map.grid
  const small = new OffscreenCanvas(cols, rows)
  const context = small.getContext("2d")
  const pixels = context.createImageData(cols, rows)
  levels.forEach((level, i) => {
    pixels.data.set([...data.palette.subarray(3 * level, 3 * level + 3), 255], 4 * i)
  })
  context.putImageData(pixels, 0, 0)
  const target = canvas.getContext("2d")
  target.drawImage(image, 0, 0, canvas.width, canvas.height)
  target.globalAlpha = data.alpha
  target.imageSmoothingEnabled = data.smooth
  target.drawImage(small, 0, 0, canvas.width, canvas.height)
}

function panel(map, image, levels, data, open) {
  const button = document.createElement("button")
  button.type = "button"
  button.title = map.title
  button.setAttribute("aria-label", map.title)
  button.setAttribute("aria-pressed", String(map.chosen))
  button.dataset.id = map.id
  button.onclick = () => open(map.id)
  const canvas = document.createElement("canvas")
  ;[canvas.width, canvas.height] = data.size
  paint(canvas, image, map, levels, data)
  const label = document.createElement("span")
  label.textContent = map.label
  button.append(canvas, label)
  return button
}

// Each map's part of all levels.
function* parts(maps, levels) {
  let start = 0
  for (const { grid } of maps) yield levels.subarray(start, (start += grid[0] * grid[1]))
}

function draw(root, image, levels, data, open) {
  const focused = root.getRootNode().activeElement?.dataset?.id
  const scrolled = root.scrollLeft
  root.style.gridTemplateColumns = data.columns
    ? `repeat(${data.columns}, minmax(3.4rem, 1fr))`
    : "repeat(auto-fit, minmax(5.2rem, 1fr))"
  const of = [...parts(data.maps, levels)]
  const panels = data.maps.map((map, i) => panel(map, image, of[i], data, open))
  root.replaceChildren(...panels)
  root.scrollLeft = scrolled
  walk(root, panels, panels.findIndex((panel) => panel.dataset.id === focused))
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".map-sheet")
  root.setAttribute("aria-label", data.alt)
  const state = (root.state ??= { image: new Image(), held: {} })
  const { image, held } = state
  state.asked = data
  const loaded = state.shown === data.photo && image.complete
  const ready = loaded ? null : new Promise((resolve) => (image.onload = resolve))
  if (state.shown !== data.photo) state.shown = image.src = data.photo
  Promise.all([read(held, "levels", data.levels), ready]).then(([levels]) => {
    if (state.asked !== data || !levels) return // something newer is on its way
    const coloured = { ...data, palette: bytes(data.palette) }
    draw(root, image, new Uint8Array(levels), coloured, (id) => setTriggerValue("open", id))
  })
}
