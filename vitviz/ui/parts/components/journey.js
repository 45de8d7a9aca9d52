// The journey in the app: numbers come from addresses, and what is not there is asked for.

const mounted = new WeakMap()

// Runs again whenever data or theme change; what the last run returns is called when the page goes.
export default function show({ data, parentElement, setTriggerValue }) {
  const leave = () => {
    mounted.get(parentElement)?.mounting.then((journey) => journey.leave())
    mounted.delete(parentElement)
  }
  const held = mounted.get(parentElement)
  if (held?.recording === data.recording) {
    held.addresses = data.addresses
    held.source.arrived()
    held.mounting.then((journey) => journey.themed())
    return leave
  }
  if (held) leave()
  const own = { recording: data.recording, addresses: data.addresses }
  const fetchArray = (name) =>
    own.addresses[name]
      ? fetch(own.addresses[name]).then((answer) => (answer.ok ? answer.arrayBuffer() : null), () => null)
      : Promise.resolve(null)
  own.source = makeSource(data.header, fetchArray, (names) => setTriggerValue("ask", names))
  const colours = Uint8Array.from(atob(data.palette), (c) => c.charCodeAt(0))
  own.mounting = mountJourney(parentElement.querySelector(".journey-root"), own.source, data.words, colours)
  mounted.set(parentElement, own)
  return leave
}
