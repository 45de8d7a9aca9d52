// A step begins at its top, where Streamlit would leave the page as it was, and on a wide screen its
// photos are only as high as leaves room for what stands below them.

const WIDE = 1000 // px; on a narrower screen one scrolls
const LEAST = 140 // px: a lower photo shows too little
const ROUNDS = 8 // in the first ones, only a photo in another column may get lower

function photos(stage) {
  const parts = [...stage.querySelectorAll("*")].flatMap(({ shadowRoot }) => shadowRoot ?? [])
  return [...stage.querySelectorAll(".stImage img"), ...parts.flatMap((part) => [...part.querySelectorAll(".patch-map > canvas")])]
}

function fit(main, stage) {
  stage.style.removeProperty("--fit")
  const over = () => main.scrollHeight - main.clientHeight
  const before = over()
  if (before <= 0 || innerWidth < WIDE) return
  const found = photos(stage)
  for (let round = 0; round < ROUNDS && over() > 0; round++) {
    const height = Math.max(...found.map((photo) => photo.getBoundingClientRect().height)) - over()
    if (height < LEAST) break
    stage.style.setProperty("--fit", `${height}px`)
  }
  if (over() >= before) stage.style.removeProperty("--fit")
}

export default function ({ data, parentElement }) {
  const mark = parentElement.querySelector("span")
  const main = document.querySelector("[data-testid=stMain]")
  if (!main) return // the page is being left
  if (mark.dataset.what !== undefined && mark.dataset.what !== data.what) main.scrollTo({ top: 0 })
  mark.dataset.what = data.what
  let frame, stage
  const again = () => {
    cancelAnimationFrame(frame)
    frame = requestAnimationFrame(() => stage && fit(main, stage))
  }
  const find = () => {
    const found = main.querySelector(".st-key-stage")
    if (found && found !== stage) resized.observe(found)
    stage = found
    again()
  }
  mark.watch?.()
  const resized = new ResizeObserver(again)
  const changed = new MutationObserver(find) // less content need not make the stage lower
  resized.observe(main)
  changed.observe(main, { childList: true, subtree: true })
  find()
  mark.watch = () => [resized, changed].forEach((observer) => observer.disconnect())
  return mark.watch
}
