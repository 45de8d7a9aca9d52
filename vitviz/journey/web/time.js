import { clamp } from "./numbers.js"

// The forward pass as a line of time: 0 to 1 the photo becomes tokens, then one unit a block, and in
// the last the class token's vector becomes classes.

export const ATTENTION = 0.65 // of a block's time; the rest is its MLP's

export const end = (layers) => layers + 2

// What happens at a time: {stage: "patches" | "attention" | "mlp" | "classes", block, share} with the
// share of that stage that has passed.
export function moment(time, layers) {
  if (time < 1) return { stage: "patches", block: null, share: time }
  if (time >= layers + 1) return { stage: "classes", block: null, share: clamp(time - layers - 1, 0, 1) }
  const block = Math.floor(time) - 1
  const inside = time - 1 - block
  return inside < ATTENTION
    ? { stage: "attention", block, share: inside / ATTENTION }
    : { stage: "mlp", block, share: (inside - ATTENTION) / (1 - ATTENTION) }
}

// How many blocks' worth of reading the lens has at a time: 0 before the first, `layers` at the end.
export const blocksPassed = (time, layers) => clamp(time - 1, 0, layers)

// The last moment of a block's attention.
export const attended = (block) => 1 + block + ATTENTION - 1e-6
