// The photos to choose from as thumbnails; a photo pasted or dropped anywhere on the page is sent
// to the server.

function thumbnail(photo, chosen, pick) {
  const button = document.createElement("button")
  button.type = "button"
  button.title = photo.title
  button.setAttribute("aria-label", photo.title)
  button.setAttribute("aria-pressed", String(photo.id === chosen))
  button.dataset.id = photo.id
  button.onclick = () => pick(photo.id)
  const image = document.createElement("img")
  image.alt = ""
  image.src = photo.thumb
  button.append(image)
  return button
}

function send(file, maxBytes, report) {
  if (file.size > maxBytes) return report({ name: file.name, data: null })
  const reader = new FileReader()
  reader.onload = () => report({ name: file.name, data: reader.result.split(",")[1] ?? "" })
  reader.readAsDataURL(file)
}

const isPhoto = (file) => file.type.startsWith("image/")

// Returns what takes the listeners away again.
function listen(maxBytes, report) {
  const paste = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(isPhoto)
    if (file) send(file, maxBytes, report)
  }
  const overUploader = (event) =>
    event.composedPath().some((node) => node.dataset?.testid === "stFileUploaderDropzone")
  const ours = (event) => event.dataTransfer?.types.includes("Files") && !overUploader(event)
  const over = (event) => {
    if (ours(event)) event.preventDefault()
  }
  const drop = (event) => {
    if (!ours(event)) return
    event.preventDefault()
    const file = event.dataTransfer.files[0]
    if (file) send(file, maxBytes, report)
  }
  const listeners = { paste, dragover: over, drop }
  for (const [name, listener] of Object.entries(listeners)) document.addEventListener(name, listener)
  return () => {
    for (const [name, listener] of Object.entries(listeners)) document.removeEventListener(name, listener)
  }
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  const root = parentElement.querySelector(".photo-gallery")
  const buttons = data.photos.map((photo) =>
    thumbnail(photo, data.chosen, (id) => setTriggerValue("picked", id)),
  )
  const focused = root.getRootNode().activeElement?.dataset?.id
  root.replaceChildren(...buttons)
  buttons.find((button) => button.dataset.id === focused)?.focus()
  return listen(data.max_bytes, (file) => setTriggerValue("brought", file))
}
