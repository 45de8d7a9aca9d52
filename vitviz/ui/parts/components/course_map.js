// The course as a drawing; a click on a part reports its lesson.

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".course-map")
  root.setAttribute("aria-label", data.alt)
  if (root.drawn !== data.drawing) root.innerHTML = root.drawn = data.drawing
  root.onclick = (event) => {
    const part = event.target.closest("[data-lesson]")
    if (!part || event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault() // a link would open the page anew, without the visitor's photo
    setTriggerValue("open", part.dataset.lesson)
  }
}
