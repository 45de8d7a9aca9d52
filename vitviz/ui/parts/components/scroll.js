// Scrolls the page up when something else is shown; Streamlit leaves it where it was.

export default function ({ data, parentElement }) {
  const mark = parentElement.querySelector("span")
  if (mark.dataset.what !== undefined && mark.dataset.what !== data.what)
    document.querySelector("[data-testid=stMain]")?.scrollTo({ top: 0 })
  mark.dataset.what = data.what
}
