// A group of buttons is one stop of the tab key; arrow keys walk over its grid. `focused` is the
// index of the button that had the focus before it was drawn anew, or -1.
function walk(root, buttons, focused) {
  const pressed = buttons.findIndex((button) => button.ariaPressed === "true")
  const go = (index, old) => {
    if (!buttons[index]) return
    if (buttons[old]) buttons[old].tabIndex = -1
    buttons[index].tabIndex = 0
    buttons[index].focus({ preventScroll: old < 0 })
  }
  buttons.forEach((button) => (button.tabIndex = -1))
  if (focused >= 0) go(focused, -1)
  else buttons[Math.max(0, pressed)].tabIndex = 0
  root.onkeydown = (event) => {
    const across = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }
    const at = buttons.findIndex((button) => button.tabIndex === 0)
    if (!steps[event.key]) return
    event.preventDefault()
    go(at + steps[event.key], at)
  }
}
