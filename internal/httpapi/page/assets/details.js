// All about one peer: its last hour, what is known of each tunnel and its BGP session, and its last events.

import {Chart} from './chart.js'
import {tunnelsOf} from './peers.js'
import {count, make, millis, outOf, printable, put, rate, said, since, size, times} from './text.js'

const MOST_EVENTS = 8

// Details is a row of the table, that spans it.
export class Details {
  constructor(name, columns, history) {
    this.name = name
    this.history = history
    this.tunnels = []
    this.parts = make('div')
    this.conditions = make('ul', {class: 'warn'})
    this.eventsTitle = make('h4', {}, 'Last events')
    this.events = make('ul')
    this.row = make('tr', {class: 'details', role: 'row'},
      make('td', {colspan: columns, role: 'cell'}, this.parts, this.conditions, this.eventsTitle, this.events))
  }

  show(known, now) {
    const all = tunnelsOf(known)
    while (this.tunnels.length > all.length) this.tunnels.pop().part.remove()
    all.forEach((tunnel, i) => {
      if (!this.tunnels[i]) this.parts.append((this.tunnels[i] = new Tunnel(all.length > 1)).part)
      this.tunnels[i].show(tunnel, known.numbers[i], outOf(known.peer, now), now)
    })
    list(this.conditions, known.peer.conditions.map((c) => `${c.text} (since ${since(c.since, now)}, tried ${times(c.tries)})`))
    const events = this.history.of(this.name, MOST_EVENTS)
    list(this.events, events)
    this.eventsTitle.hidden = events.length === 0
  }

  // draw takes an answer of samples.json.
  draw(hour) {
    for (const of of hour.tunnels) {
      if (of.peer === this.name) this.tunnels.find((t) => t.interface === of.interface)?.draw(hour, of)
    }
  }
}

function list(ul, lines) {
  if (ul.textContent !== lines.map(printable).join('')) ul.replaceChildren(...lines.map((line) => make('li', {}, said(line))))
  ul.hidden = lines.length === 0
}

// Tunnel is what is known of one tunnel.
class Tunnel {
  constructor(named) {
    this.title = make('h4', {hidden: !named})
    this.roundTrip = new Chart('Round trip', millis, ['round trip'], 1)
    this.throughput = new Chart('Throughput', rate, ['in', 'out'], 1000)
    this.charts = make('div', {class: 'charts'}, this.roundTrip.figure, this.throughput.figure)
    this.lists = {Tunnel: make('dl'), BGP: make('dl')}
    this.facts = new Map()
    this.part = make('div', {}, this.title, this.charts, make('div', {class: 'facts'}, this.lists.Tunnel, this.lists.BGP))
    this.interface = ''
  }

  show(tunnel, numbers, out, now) {
    const {bgp} = tunnel
    const [, received, sent, receivedPackets, sentPackets, drops] = numbers ?? []
    this.interface = tunnel.interface
    this.charts.hidden = numbers == null
    put(this.title, `Tunnel ${tunnel.link}: ${printable(tunnel.interface)}`)
    const of = (term, text) => this.fact('Tunnel', term, text)
    of('Tunnel', span(tunnel.state, tunnel.since, now))
    of('Operator', out)
    of('Last error', tunnel.last_error)
    of('Went down', resets(tunnel, now))
    of('Transport', tunnel.transport)
    of('Interface', tunnel.interface + (tunnel.mtu ? `, MTU ${tunnel.mtu}` : ''))
    of('Remote', tunnel.remote)
    of('Key', tunnel.key)
    of('Congestion', tunnel.congestion)
    of('Share of flows', tunnel.share != null ? `${Math.round(tunnel.share * 100)} %` : '')
    of('Received', numbers && `${size(received)}, ${count(receivedPackets)} packets`)
    of('Sent', numbers && `${size(sent)}, ${count(sentPackets)} packets`)
    of('Dropped', numbers && `${count(drops)} packets`)
    this.showSession(bgp, now)
  }

  showSession(bgp, now) {
    const of = (term, text) => this.fact('BGP', term, text)
    of('BGP', span(bgp.state, bgp.since, now))
    of('Last error', bgp.last_error)
    of('Went down', resets(bgp, now))
    of('Neighbor', `${bgp.address || 'no address'}, AS ${bgp.asn}`)
    of('From it', `${count(bgp.received)} prefixes received, ${count(bgp.accepted)} accepted`)
    of('To it', `${count(bgp.announced)} prefixes announced`)
    of('Not used', unused(bgp))
    of('Malformed', bgp.last_malformed)
    of('Looped', bgp.last_looped)
  }

  // fact shows one, or takes it away if there is none.
  fact(list, term, text) {
    const key = `${list} ${term}`
    let fact = this.facts.get(key)
    if (!fact) {
      fact = {value: make('dd', {class: 'said'})}
      fact.part = make('div', {}, make('dt', {}, term), fact.value)
      this.facts.set(key, fact)
      this.lists[list].append(fact.part)
    }
    put(fact.value, printable(text ?? ''))
    fact.part.hidden = !text
  }

  draw(hour, of) {
    this.roundTrip.set(hour.times, hour.interval_s, [of.rtt_ms])
    this.throughput.set(hour.times, hour.interval_s, [of.receive_bits, of.transmit_bits])
  }
}

function span(state, from, now) {
  const lasts = since(from, now)
  return lasts ? `${state} for ${lasts}` : state
}

function unused(bgp) {
  const parts = []
  if (bgp.refused > 0) parts.push(`${count(bgp.refused)} refused by max_prefixes`)
  if (bgp.stale > 0) parts.push(`${count(bgp.stale)} stale`)
  if (bgp.looped > 0) parts.push(`${count(bgp.looped)} looped`)
  if (bgp.withheld > 0) parts.push(`${count(bgp.withheld)} withheld`)
  return parts.join(', ')
}

function resets({flaps, last_reset: last}, now) {
  return flaps > 0 ? `${times(flaps)}, the last time ${since(last.time, now)} ago: ${last.cause}` : ''
}
