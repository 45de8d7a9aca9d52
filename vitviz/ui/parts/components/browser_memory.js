// Keeps a text in this browser under a name; tells once what was there when the page was opened.

const EMPTY = ["{}", "[]", '""']
const LIMIT = 20000 // letters: more is not ours

export default function ({ data, parentElement, setStateValue }) {
  const mark = parentElement.querySelector("span")
  try {
    if (!mark.dataset.told) {
      mark.dataset.told = "yes"
      const found = localStorage.getItem(data.name)
      if (found !== null && found.length <= LIMIT) setStateValue("found", found)
    }
    if (data.value === null) return
    if (EMPTY.includes(data.value)) localStorage.removeItem(data.name)
    else localStorage.setItem(data.name, data.value)
  } catch {
    // a browser that keeps nothing, as private windows may: the page works without
  }
}
