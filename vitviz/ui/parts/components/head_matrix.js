// Layers as columns, heads as rows, a number in each cell; a click reports the cell.

const EQUAL = 0.179 // luminance of a ground on which black and white are equally easy to read

// Relative luminance as WCAG 2 has it.
function luminance(colour) {
  const [r, g, b] = colour.map((level) => {
    const share = level / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

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
    button.style.background = `rgb(${colour.join(",")})`
    button.style.color = luminance(colour) > EQUAL ? "#000" : "#fff"
  }
  const [layer, head] = data.id.split(",")
  button.style.gridColumn = Number(layer) + 2
  button.style.gridRow = head === "all" ? 1 : Number(head) + 2
  button.onclick = () => open(data.id)
  return button
}

// What a row is, beside it also while the matrix is scrolled sideways.
function rowName(text, head) {
  const name = document.createElement("span")
  name.textContent = text
  name.style.gridRow = head + 2
  return name
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".head-matrix")
  const focused = root.getRootNode().activeElement?.dataset?.id
  const scrolled = root.scrollLeft
  root.setAttribute("aria-label", data.alt)
  root.style.gridTemplateColumns = `auto repeat(${data.columns}, minmax(2.7rem, 1fr))`
  const palette = bytes(data.palette)
  const cells = data.cells.map((of) => cell(of, palette, (id) => setTriggerValue("open", id)))
  root.replaceChildren(...data.rows.map(rowName), ...cells)
  root.scrollLeft = scrolled
  walk(root, cells, cells.findIndex((of) => of.dataset.id === focused))
}
