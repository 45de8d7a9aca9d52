import { attentionRow, halves } from "./numbers.js"

// Where the numbers come from: a page holds all of them, the app sends a layer or a token when it is
// asked. `fetchArray(name)` gives the bytes of an array, or null where it is not at hand;
// `ask(names)` asks the server for arrays, after which `arrived` is called.
export function makeSource(header, fetchArray, ask) {
  const held = new Map() // promises by name
  const waiting = new Map() // names asked for → what to call with their bytes

  function bytes(name) {
    if (!held.has(name)) held.set(name, fetchArray(name).then((found) => found ?? later(name)))
    return held.get(name)
  }

  function later(name) {
    if (!ask) return null
    const answer = new Promise((resolve) => waiting.set(name, resolve))
    ask([...waiting.keys()])
    return answer
  }

  // What has come is handed on; what has not, since another question came between, is asked again.
  async function arrived() {
    for (const [name, resolve] of [...waiting]) {
      const found = await fetchArray(name)
      if (!found) continue
      waiting.delete(name)
      resolve(found)
    }
    if (waiting.size) ask([...waiting.keys()])
  }

  async function numbers(name) {
    const found = await bytes(name)
    return found && halves(found)
  }

  const tokens = header.prefix + header.grid[0] * header.grid[1]

  // One layer's queries and keys, or its maps: as numbers.js reads them.
  async function layer(index) {
    const about = { ...header.layers[index], tokens }
    if (about.dim === undefined) {
      const [map, most] = await Promise.all([bytes(`map ${index}`), bytes(`most ${index}`)])
      return { ...about, map: new Uint8Array(map), most: new Float32Array(most) }
    }
    const [query, key] = await Promise.all([numbers(`query ${index}`), numbers(`key ${index}`)])
    return { ...about, query, key }
  }

  const layers = new Map()
  const layerOnce = (index) => {
    if (!layers.has(index)) layers.set(index, layer(index))
    return layers.get(index)
  }

  // Where a token looks, (heads of all layers, tokens). `token` is "cls" or a patch as "row,column".
  async function gaze(token) {
    if (token === "cls" || ask) return numbers(`gaze ${token}`)
    const index = tokenIndex(header, token)
    const rows = []
    for (const [number, { heads }] of header.layers.entries()) {
      const found = await layerOnce(number)
      for (let head = 0; head < heads; head++) rows.push(attentionRow(found, head, index))
    }
    const all = new Float32Array(rows.length * tokens)
    rows.forEach((row, i) => all.set(row, i * tokens))
    return all
  }

  return { header, tokens, bytes, numbers, layer: layerOnce, gaze, arrived }
}

// The number of the token that a name means: "cls" or "row,column".
export function tokenIndex(header, token) {
  if (token === "cls") return header.has_class_token ? 0 : null
  const [row, column] = token.split(",").map(Number)
  return header.prefix + row * header.grid[1] + column
}

// The name of a token by its number; null for registers, which have no place.
export function tokenName(header, index) {
  if (index < header.prefix) return index === 0 && header.has_class_token ? "cls" : null
  const patch = index - header.prefix
  return `${Math.floor(patch / header.grid[1])},${patch % header.grid[1]}`
}

// (rows, columns) of the patches that a layer reads: the photo's, unless layers have their own.
export const layerGrid = (header, layer) => header.layers[layer].grid ?? header.grid

// The number of a token among a layer's: a patch's is that of the layer's patch which contains it.
export function tokenIn(header, layer, token) {
  if (token === "cls") return tokenIndex(header, token)
  const [, cols] = layerGrid(header, layer)
  const [row, col] = cellIn(header, layer, token)
  return header.prefix + row * cols + col
}

// [row, column] of the layer's patch that contains a patch of the photo.
export function cellIn(header, layer, patch) {
  const of = layerGrid(header, layer)
  return patch.split(",").map((place, i) => Math.floor((Number(place) * of[i]) / header.grid[i]))
}

// The first of a layer's heads among those of all layers.
export function firstHead(header, layer) {
  return header.layers.slice(0, layer).reduce((sum, { heads }) => sum + heads, 0)
}
