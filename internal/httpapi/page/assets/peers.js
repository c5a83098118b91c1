// The table of peers: a group of rows for each, one a tunnel, and one with details where these are open.

import {Details} from './details.js'
import {make, millis, outOf, printable, put, putClass, rate, since} from './text.js'

const RANK = {down: 0, part: 1, out: 2, up: 3}
// The cells behind a tunnel's name: their classes, and what names them where a row has no columns.
const CELLS = [
  ['tunnel', 'Tunnel'], ['more'], ['number', 'Round trip'], ['number', 'In'], ['number', 'Out'], ['session', 'BGP'], ['number more'], ['number more'],
]
const MOST_DRAWN = 50 // peers whose last hour is asked for
const OPEN_AT_FIRST = 2 // so few peers are shown with their details

const byName = new Intl.Collator('en', {numeric: true})

// tunnelsOf are the tunnels of a peer; one on a network of the router's has one line without any.
export function tunnelsOf({peer}) {
  return peer.tunnels.length > 0 ? peer.tunnels : [{...peer.tunnel, bgp: peer.bgp}]
}

// ratesOf are the bits a second that tunnel i receives and sends now.
export function ratesOf(known, i) {
  const seen = known.seen[i] ?? []
  if (seen.length < 2) return [null, null]
  const first = seen[0], last = seen[seen.length - 1]
  const seconds = (last.at - first.at) / 1000
  return [(last.received - first.received) * 8 / seconds, (last.sent - first.sent) * 8 / seconds]
}

// Group is the rows of one peer.
class Group {
  constructor(name, toggled) {
    this.body = make('tbody', {role: 'rowgroup'})
    this.button = make('button', {type: 'button', 'aria-expanded': 'false'}, printable(name))
    this.button.addEventListener('click', () => toggled(this))
    this.rows = []
    this.details = null
    this.words = ''
  }

  show(known, now) {
    const tunnels = tunnelsOf(known)
    while (this.rows.length > tunnels.length) this.rows.pop().row.remove()
    tunnels.forEach((tunnel, i) => {
      this.rows[i] ??= this.add(known.name, tunnel, i)
      this.fill(this.rows[i].cells, known, tunnel, i, now)
    })
    this.words = [known.name, known.state, ...tunnels.flatMap((t) =>
      [t.transport, t.interface, t.state, t.remote, t.bgp.state, t.bgp.address, `as${t.bgp.asn}`])].join(' ').toLowerCase()
  }

  add(name, tunnel, i) {
    const further = make('span', {class: 'further'}, `${printable(name)}/${tunnel.link}`)
    const cells = CELLS.map(([kind, label]) => make('td', {role: 'cell', class: kind, 'data-label': label}))
    for (const cell of [cells[0], cells[5]]) cell.append(make('span'), ' ', make('small'))
    const row = make('tr', {role: 'row'}, make('th', {scope: 'row', role: 'rowheader'}, i === 0 ? this.button : further), ...cells)
    if (i === 0) this.body.prepend(row)
    else this.rows[i - 1].row.after(row)
    return {row, cells}
  }

  fill(cells, known, tunnel, i, now) {
    const [roundTrip] = known.numbers[i] ?? []
    const [received, sent] = ratesOf(known, i)
    const up = tunnel.state === 'up', established = tunnel.bgp.state === 'established'
    const out = outOf(known.peer, now)
    state(cells[0], tunnel, up, now, out)
    put(cells[1], printable(tunnel.remote || '–'))
    put(cells[2], up ? millis(roundTrip) : '–')
    put(cells[3], rate(received))
    put(cells[4], rate(sent))
    state(cells[5], tunnel.bgp, established, now, '', out !== '')
    put(cells[6], String(tunnel.bgp.accepted))
    put(cells[7], String(tunnel.bgp.announced))
  }

  // open shows details, or takes them away if there are none.
  open(details) {
    this.details?.row.remove()
    this.details = details
    this.button.setAttribute('aria-expanded', String(details !== null))
    if (details) this.body.append(details.row)
  }
}

// state shows a state, since when, and why if it is not good. What an operator wanted is neither good nor bad.
function state(cell, {state, since: from, last_error: error}, good, now, out = '', wanted = out !== '') {
  const [word, , small] = cell.childNodes
  put(word, printable(state))
  putClass(word, good ? 'good' : wanted ? '' : 'bad')
  const lasts = since(from, now)
  const why = out || (!good && !wanted ? error : '')
  put(small, why ? printable(why) : lasts && `for ${lasts}`)
  putClass(small, why ? 'said' : '')
}

// Peers is the table with its filter.
export class Peers {
  constructor({table, filter, count, none}, history) {
    Object.assign(this, {table, filter, count, none, history})
    this.groups = new Map()
    this.model = null
    this.asking = false
    filter.addEventListener('input', () => this.model && this.arrange())
  }

  // show takes the model. changed says that more than counters has, sampled that the last hour has.
  show(model, {changed, sampled}) {
    const first = this.model === null
    this.model = model
    for (const [name, group] of this.groups) {
      if (!model.peers.has(name)) {
        group.body.remove()
        this.groups.delete(name)
      }
    }
    for (const [name, known] of model.peers) {
      let group = this.groups.get(name)
      if (!group) this.groups.set(name, group = new Group(name, (g) => this.toggle(name, g)))
      group.show(known, model.now)
      group.details?.show(known, model.now)
    }
    if (changed) this.arrange()
    if (first && model.peers.size <= OPEN_AT_FIRST) for (const [name, group] of this.groups) this.toggle(name, group)
    if (sampled) this.ask()
  }

  toggle(name, group) {
    if (group.details) {
      group.open(null)
      return
    }
    const details = new Details(name, CELLS.length + 1, this.history)
    details.show(this.model.peers.get(name), this.model.now)
    group.open(details)
    this.ask()
  }

  // arrange sorts the groups, those that are down first, and hides what the filter leaves out.
  arrange() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean)
    const order = [...this.model.peers.values()].sort((a, b) =>
      (RANK[a.state] ?? 3) - (RANK[b.state] ?? 3) || byName.compare(a.name, b.name))
    const focused = document.activeElement
    let before = this.table.tHead, shown = 0, moved = false
    for (const {name} of order) {
      const group = this.groups.get(name)
      if (before.nextElementSibling !== group.body) {
        before.after(group.body)
        moved = true
      }
      before = group.body
      group.body.hidden = !words.every((w) => group.words.includes(w))
      if (!group.body.hidden) shown++
    }
    // An element that is moved loses the focus.
    if (moved && focused && focused !== document.activeElement && focused.isConnected) focused.focus({preventScroll: true})
    this.sum(order, shown, words.length > 0)
  }

  sum(order, shown, filtered) {
    const all = order.length, out = order.filter((k) => k.state === 'out').length
    const up = order.filter((k) => k.state === 'up').length, down = all - up - out
    let text = ''
    if (all === 1 && up === 1) text = '1, which is up'
    else if (all > 0) text = down > 0 ? `${down} of ${all} down` : out > 0 ? `${up} of ${all} up` : `${all}, all up`
    if (out > 0) text += `, ${out} drained or taken down`
    put(this.count, filtered ? `${text}; ${shown} shown` : text)
    putClass(this.count, down > 0 ? 'bad' : 'quiet')
    this.none.hidden = shown > 0
    put(this.none, all === 0 ? 'There are no peers: put one file for each into peers.d and reload.' : 'No peer is as the filter says.')
  }

  // ask gets the last hour of the peers whose details are open.
  async ask() {
    const open = [...this.groups].filter(([, g]) => g.details && !g.body.hidden).slice(0, MOST_DRAWN)
    if (open.length === 0 || this.asking) {
      this.again = this.asking
      return
    }
    this.asking = true
    try {
      const response = await fetch(`samples.json?${new URLSearchParams(open.map(([name]) => ['peer', name]))}`)
      if (response.ok) {
        const hour = await response.json()
        for (const [, group] of open) group.details?.draw(hour)
      }
    } catch { // that the daemon is not there the page says already
    }
    this.asking = false
    if (this.again) {
      this.again = false
      this.ask()
    }
  }
}
