// The journey in the app: numbers come from addresses, and what is not there is asked for.

const mounted = new WeakMap()

export default async function show(component) {
  const { data, parentElement, setTriggerValue } = component
  const held = mounted.get(parentElement)
  if (held?.recording === data.recording) {
    held.addresses = data.addresses
    held.source.arrived()
    return
  }
  const own = { recording: data.recording, addresses: data.addresses }
  mounted.set(parentElement, own)
  const fetchArray = (name) =>
    own.addresses[name]
      ? fetch(own.addresses[name]).then((answer) => (answer.ok ? answer.arrayBuffer() : null), () => null)
      : Promise.resolve(null)
  own.source = makeSource(data.header, fetchArray, (names) => setTriggerValue("ask", names))
  const colours = Uint8Array.from(atob(data.palette), (c) => c.charCodeAt(0))
  held?.journey?.leave()
  own.journey = await mountJourney(parentElement.querySelector(".journey-root"), own.source, data.words, colours)
  return () => {
    own.journey.leave()
    mounted.delete(parentElement)
  }
}
