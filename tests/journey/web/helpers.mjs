import assert from "node:assert/strict"

// Numbers that agree to float32.
export function close(found, expected, within = 1e-6) {
  assert.equal(found.length, expected.length)
  expected.forEach((value, i) =>
    assert.ok(Math.abs(found[i] - value) <= within * Math.max(1, Math.abs(value)), `${i}: ${found[i]} instead of ${value}`),
  )
}

// Numbers from -1 to 1, the same for the same seed (Park & Miller 1988).
export function random(length, seed) {
  let state = seed
  return Float32Array.from({ length }, () => (2 * (state = (state * 48271) % 2147483647)) / 2147483647 - 1)
}

// A header of a model: its grid, prefix tokens and heads in each layer.
export const header = (grid, prefix, heads, more = {}) => ({
  grid, prefix, has_class_token: prefix > 0, reads_class_token: prefix > 0,
  layers: heads.map((count) => ({ heads: count, dim: 2, group: 1, scale: 0.5 })), ...more,
})

export const bytes = (values) => values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength)
