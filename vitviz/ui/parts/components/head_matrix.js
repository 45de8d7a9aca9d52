// Layers as columns, heads as rows, a number in each cell; a click reports the cell.

function cell(data, palette, open) {
  const button = document.createElement("button")
  button.type = "button"
  button.textContent = data.text
  button.title = data.title
  button.dataset.id = data.id
  button.setAttribute("aria-label", data.title)
  button.setAttribute("aria-pressed", String(data.chosen))
  button.classList.toggle("off", data.off)
  button.classList.toggle("whole", data.level === null)
  if (data.level !== null) {
    const colour = [...palette.subarray(3 * data.level, 3 * data.level + 3)]
    const light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    button.style.background = `rgb(${colour.join(",")})`
    button.style.color = light > 140 ? "#111" : "#fff"
  }
  const [layer, head] = data.id.split(",")
  button.style.gridColumn = Number(layer) + 1
  button.style.gridRow = head === "all" ? 1 : Number(head) + 2
  button.onclick = () => open(data.id)
  return button
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".head-matrix")
  const focused = root.getRootNode().activeElement?.dataset?.id
  const scrolled = root.scrollLeft
  root.setAttribute("aria-label", data.alt)
  root.style.gridTemplateColumns = `repeat(${data.columns}, minmax(3rem, 1fr))`
  const palette = bytes(data.palette)
  const cells = data.cells.map((of) => cell(of, palette, (id) => setTriggerValue("open", id)))
  root.replaceChildren(...cells)
  root.scrollLeft = scrolled
  walk(root, cells, cells.findIndex((of) => of.dataset.id === focused))
}
