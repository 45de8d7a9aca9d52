// How numbers come to the browser: as text within the message, or at an address of their own. Those
// at an address are read once and stay, so that other colours need nothing from the server.

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))

// The bytes at an address, or null where it has none or the server has moved on. `held` keeps the
// last ones of each part.
function read(held, part, address) {
  if (held[part]?.address === address) return held[part].numbers
  const numbers = address
    ? fetch(address)
        .then((answer) => (answer.ok ? answer.arrayBuffer() : null), () => null)
        .then((found) => {
          if (!found && held[part]?.address === address) delete held[part] // ask again next time
          return found
        })
    : Promise.resolve(null)
  held[part] = { address, numbers }
  return numbers
}
