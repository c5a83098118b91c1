// The page: it follows the daemon's events, keeps what they have said, and has the parts show it.

import {History} from './history.js'
import {Peers} from './peers.js'
import {Why} from './why.js'
import {age, make, moment, outOf, printable, put, said, since, times} from './text.js'

const RETRY = 2000 // ms from losing the daemon to trying again
const SILENCE = 8000 // ms without a frame, of which there is one a second, after which it is lost
const MOST_NOTES = 50

const id = (name) => document.getElementById(name)

// model is what the daemon has said. peers has by name {name, state, peer, numbers, seen}, where numbers and seen have an entry for each tunnel.
const model = {names: [], peers: new Map(), router: null, fib: null, at: 0, now: Date.now(), uptime: 0}
const history = new History(id('history-table'), id('history-more'))
const peers = new Peers({table: id('peer-table'), filter: id('filter'), count: id('count'), none: id('no-peers')}, history)
const why = new Why(id('why-form'), id('why-problem'), id('why-answer'))

let source = null // the stream; null while there is none
let heard = 0 // when the last frame came, of performance.now()
let lost = null // the Date of when the daemon was lost; null while it is there
let trouble = ''
let retry = 0 // a timer

function connect() {
  clearTimeout(retry)
  disconnect()
  if (document.hidden) return // nobody looks: the daemon has no work for it
  heard = performance.now()
  source = new EventSource('events')
  source.onmessage = (e) => receive(JSON.parse(e.data))
  source.onerror = () => fail('')
}

function disconnect() {
  source?.close()
  source = null
}

// fail notes that the stream has ended, and tries again later.
function fail(reason) {
  const refused = source !== null && source.readyState === EventSource.CLOSED
  disconnect()
  lost ??= new Date()
  if (reason !== '') trouble = reason
  showLink()
  clearTimeout(retry)
  retry = setTimeout(connect, RETRY)
  if (refused) askWhyRefused()
}

// askWhyRefused asks as the stream does, whose refusal has no words that a script could read.
async function askWhyRefused() {
  const stop = new AbortController()
  try {
    const response = await fetch('events', {signal: stop.signal})
    if (!response.ok) {
      trouble = (await response.json()).error ?? ''
      showLink()
    }
  } catch { // it is not there, which is shown already
  }
  stop.abort()
}

function receive(frame) {
  heard = performance.now()
  lost = null
  trouble = frame.trouble ?? ''
  if (trouble !== '') {
    showLink()
    return
  }
  if (frame.full) history.clear()
  const changes = take(frame)
  history.add(frame.events ?? [])
  if (model.router === null) return // the first frame of a first viewer has events only
  show(frame)
  tell(changes)
}

// take puts a frame into the model, and returns the peers whose state has changed.
function take(frame) {
  const changes = []
  model.at = frame.at_ms
  if (frame.time) model.now = Date.parse(frame.time)
  model.uptime = frame.uptime_s
  model.router = frame.router ?? model.router
  model.fib = frame.fib ?? model.fib
  for (const {state, peer} of frame.peers ?? []) {
    const known = model.peers.get(peer.name)
    if (known) {
      if (known.state !== state) changes.push({name: peer.name, state})
      Object.assign(known, {state, peer})
    } else {
      model.peers.set(peer.name, {name: peer.name, state, peer, numbers: [], seen: []})
    }
  }
  for (const [name, ...numbers] of frame.numbers ?? []) {
    const known = model.peers.get(name)
    if (known) known.numbers = numbers
  }
  if (frame.names) {
    model.names = frame.names
    const there = new Set(frame.names)
    for (const name of model.peers.keys()) if (!there.has(name)) model.peers.delete(name)
    why.offer(model.names)
  }
  for (const known of model.peers.values()) follow(known)
  return changes
}

// follow keeps the counters of the last few seconds, from which the rates are.
function follow(known) {
  known.seen.length = known.numbers.length
  known.numbers.forEach(([, received, sent], i) => {
    const seen = known.seen[i] ??= []
    const before = seen[seen.length - 1]
    if (before && (received < before.received || sent < before.sent || model.at <= before.at)) seen.length = 0
    seen.push({at: model.at, received, sent})
    if (seen.length > 4) seen.shift()
  })
}

function show(frame) {
  const router = model.router
  put(id('router'), printable(router.name))
  put(id('about'), `AS ${router.asn}, router ID ${router.router_id}, Warren ${printable(router.version)}, up ${age(model.uptime)}`)
  put(id('fib'), `Kernel routes: ${model.fib.ipv4} IPv4, ${model.fib.ipv6} IPv6; ${model.fib.pending} pending, ${model.fib.errors} refused.`)
  const changed = Boolean(frame.full || frame.peers || frame.names)
  peers.show(model, {changed, sampled: Boolean(frame.sampled || frame.full)})
  if (changed || frame.router || frame.fib) showNotes()
  const down = [...model.peers.values()].filter((p) => p.state === 'down' || p.state === 'part').length
  document.title = `${down > 0 ? `(${down} down) ` : ''}${printable(router.name)} – Warren`
  showLink()
}

// showLink says whether what the page shows is so now.
function showLink() {
  const link = id('link')
  const is = lost ? 'gone' : trouble !== '' ? 'gone' : model.router ? 'live' : ''
  link.dataset.is = is
  const of = model.router ? ' What is shown is of before.' : ''
  if (lost && trouble !== '') put(link, `Not connected: ${printable(trouble)}. Trying again.${of}`)
  else if (lost) put(link, `The daemon does not answer since ${moment(lost).slice(11)}. Trying again.${of}`)
  else if (trouble !== '') put(link, printable(trouble))
  else put(link, model.router ? 'Live' : 'Connecting …')
}

// showNotes lists what is wrong and tried again, and what an operator should know.
function showNotes() {
  const notes = []
  const condition = (who, c) => notes.push([who, `${c.text} (${since(c.since, model.now)} so far, ${times(c.tries)} tried)`])
  const {speaker, conditions, hints} = model.router
  const out = outOf(model.router, model.now)
  if (out) notes.push(['', `The router is ${out}.`])
  conditions.forEach((c) => condition('', c))
  if (model.fib.errors > 0) notes.push(['', `The kernel refuses ${model.fib.errors} routes.`])
  if (speaker.restarts > 0) notes.push(['', `The BGP process was started again ${times(speaker.restarts)}; the last time because: ${speaker.last_error}`])
  hints.forEach((h) => notes.push([h.peer, h.text]))
  for (const {name, peer} of model.peers.values()) peer.conditions.forEach((c) => condition(name, c))
  const items = notes.slice(0, MOST_NOTES).map(([who, text]) => make('li', {}, who ? make('b', {}, said(who), ': ') : '', said(text)))
  if (notes.length > MOST_NOTES) items.push(make('li', {}, `and ${notes.length - MOST_NOTES} more`))
  const list = id('notes-list')
  if (list.textContent !== items.map((i) => i.textContent).join('')) list.replaceChildren(...items)
  id('notes').hidden = items.length === 0
}

const WORDS = {up: 'works', part: 'works in part', down: 'is down', out: 'is drained or taken down'}

// tell has a screen reader say which peers went down or came back, and nothing else.
function tell(changes) {
  if (changes.length === 0) return
  const some = changes.slice(0, 3).map(({name, state}) => `${printable(name)} ${WORDS[state] ?? `is ${state}`}.`)
  if (changes.length > 3) some.push(`${changes.length - 3} others have changed.`)
  put(id('said'), some.join(' '))
}

id('filter-form').addEventListener('submit', (e) => e.preventDefault())
document.addEventListener('visibilitychange', () => document.hidden ? disconnect() : connect())
setInterval(() => {
  if (source !== null && performance.now() - heard > SILENCE) fail('')
}, 1000)
connect()
