// Numbers as they travel, and what is made of them: rows of attention from queries and keys.

const HALVES = (() => {
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const size =
      exponent === 0 ? fraction * 2 ** -24
      : exponent === 31 ? (fraction ? NaN : Infinity)
      : (1 + fraction / 1024) * 2 ** (exponent - 15)
    table[bits] = bits & 0x8000 ? -size : size
  }
  return table
})()

// Float16 numbers as float32.
export function halves(buffer) {
  return Float32Array.from(new Uint16Array(buffer), (bits) => HALVES[bits])
}

// Each number's share of the exponentials' sum, in place.
export function softmax(scores) {
  let most = -Infinity
  for (const score of scores) if (score > most) most = score
  let sum = 0
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most)
  for (let i = 0; i < scores.length; i++) scores[i] /= sum
  return scores
}

// Whether the queries and keys are there, so that a score can be taken apart.
export const hasProducts = (layer) => layer.query !== undefined

// q_d · k_d for each of a head's dimensions.
export function products(layer, head, query, key) {
  const { tokens, dim, group } = layer
  const q = (head * tokens + query) * dim
  const k = (Math.floor(head / group) * tokens + key) * dim
  return Float32Array.from({ length: dim }, (_, d) => layer.query[q + d] * layer.key[k + d])
}

// scale · q·k of one token with every key: before the softmax.
export function scores(layer, head, query) {
  const { tokens, dim, group, scale } = layer
  const found = new Float32Array(tokens)
  const q = (head * tokens + query) * dim
  let k = Math.floor(head / group) * tokens * dim
  for (let j = 0; j < tokens; j++) {
    let sum = 0
    for (let d = 0; d < dim; d++, k++) sum += layer.query[q + d] * layer.key[k]
    found[j] = sum * scale
  }
  return found
}

// Where one token looks in one head: (tokens), sums to 1.
export function attentionRow(layer, head, query) {
  if (hasProducts(layer)) return softmax(scores(layer, head, query))
  const { tokens, map, most } = layer
  const start = (head * tokens + query) * tokens
  const unit = most[head * tokens + query] / 255
  return Float32Array.from(map.subarray(start, start + tokens), (level) => level * unit)
}

// Every row of a head, one behind the other; of the scores before the softmax if `raw`.
export function matrix(layer, head, raw = false) {
  const { tokens } = layer
  const all = new Float32Array(tokens * tokens)
  const made = raw ? scores : attentionRow
  for (let query = 0; query < tokens; query++) all.set(made(layer, head, query), query * tokens)
  return all
}

// The mean of rows `from` to `to` (exclusive) of a (rows, width) array.
export function meanRow(all, width, from, to) {
  const mean = new Float32Array(width)
  for (let row = from; row < to; row++)
    for (let i = 0; i < width; i++) mean[i] += all[row * width + i] / (to - from)
  return mean
}

// The smallest and the largest number.
export function extent(values) {
  let low = Infinity
  let high = -Infinity
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

// The places of the largest numbers, largest first.
export function largest(values, count) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a]).slice(0, count)
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
export const mix = (a, b, share) => a + (b - a) * share
// Slow at both ends.
export const ease = (share) => share * share * (3 - 2 * share)
