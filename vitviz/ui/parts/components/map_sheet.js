// Many small maps over the same photo; a click opens one.

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

function paint(canvas, image, map, data) {
  const [rows, cols] = map.grid
  const small = new OffscreenCanvas(cols, rows)
  const context = small.getContext("2d")
  const pixels = context.createImageData(cols, rows)
  bytes(map.levels).forEach((level, i) => {
    pixels.data.set([...data.palette.subarray(3 * level, 3 * level + 3), 255], 4 * i)
  })
  context.putImageData(pixels, 0, 0)
  const target = canvas.getContext("2d")
  target.drawImage(image, 0, 0, canvas.width, canvas.height)
  target.globalAlpha = data.alpha
  target.imageSmoothingEnabled = data.smooth
  target.drawImage(small, 0, 0, canvas.width, canvas.height)
}

function panel(map, image, data, open) {
  const button = document.createElement("button")
  button.type = "button"
  button.title = map.title
  button.setAttribute("aria-label", map.title)
  button.setAttribute("aria-pressed", String(map.chosen))
  button.dataset.id = map.id
  button.onclick = () => open(map.id)
  const canvas = document.createElement("canvas")
  ;[canvas.width, canvas.height] = data.size
  paint(canvas, image, map, data)
  const label = document.createElement("span")
  label.textContent = map.label
  button.append(canvas, label)
  return button
}

function draw(root, image, data, open) {
  const focused = root.getRootNode().activeElement?.dataset?.id
  const scrolled = root.scrollLeft
  root.style.gridTemplateColumns = data.columns
    ? `repeat(${data.columns}, minmax(3.4rem, 1fr))`
    : "repeat(auto-fit, minmax(5.2rem, 1fr))"
  const panels = data.maps.map((map) => panel(map, image, data, open))
  root.replaceChildren(...panels)
  root.scrollLeft = scrolled
  walk(root, panels, panels.findIndex((panel) => panel.dataset.id === focused))
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".map-sheet")
  root.setAttribute("aria-label", data.alt)
  const image = (root.photo ??= new Image())
  const show = () =>
    draw(root, image, { ...data, palette: bytes(data.palette) }, (id) => setTriggerValue("open", id))
  image.onload = show
  if (image.src === data.photo) {
    if (image.complete) show()
  } else {
    image.src = data.photo
  }
}
