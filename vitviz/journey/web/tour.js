import { attended, end } from "./time.js"

const SECONDS = 11 // a caption, when the tour goes on by itself

// Eight captions and what the picture does meanwhile: from one time to another, and what is open.
export function tourSteps(layers, hasMatrices = true) {
  const middle = Math.floor(layers / 2)
  const last = layers - 1
  const steps = [
    { from: 0, to: 0.25, view: "whole" },
    { from: 0.25, to: 1, view: "whole" },
    { from: 1, to: attended(0), view: "whole" },
    { from: attended(middle), to: attended(middle), view: "block", block: middle, head: 0 },
    { from: attended(middle), to: attended(middle), view: "head", block: middle, head: 0 },
    { from: attended(0), to: attended(middle), view: "whole" },
    { from: attended(middle), to: attended(last), view: "whole" },
    { from: layers + 1, to: end(layers), view: "whole" },
  ]
  return steps.map((step) => (step.view === "head" && !hasMatrices ? { ...step, view: "block" } : step))
}

export { SECONDS }
