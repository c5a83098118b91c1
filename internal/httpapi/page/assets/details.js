// All about one peer: its last hour, what is known of each tunnel and its BGP session, and its last events.

import {Chart} from './chart.js'
import {tunnelsOf} from './peers.js'
import {count, make, millis, printable, put, rate, said, since, size, times} from './text.js'

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
    this.row = make('tr', {class: 'details'},
      make('td', {colspan: columns}, this.parts, this.conditions, this.eventsTitle, this.events))
  }

  show(known, now) {
    const all = tunnelsOf(known)
    while (this.tunnels.length > all.length) this.tunnels.pop().part.remove()
    all.forEach((tunnel, i) => {
      if (!this.tunnels[i]) this.parts.append((this.tunnels[i] = new Tunnel(all.length > 1)).part)
      this.tunnels[i].show(tunnel, known.numbers[i], now)
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
    this.roundTrip = new Chart('Round trip', millis, ['round trip'])
    this.throughput = new Chart('Throughput', rate, ['in', 'out'])
    this.charts = make('div', {class: 'charts'}, this.roundTrip.figure, this.throughput.figure)
    this.list = make('dl')
    this.facts = new Map()
    this.part = make('div', {}, this.title, this.charts, this.list)
    this.interface = ''
  }

  show(tunnel, numbers, now) {
    const {bgp} = tunnel
    const [, received, sent, receivedPackets, sentPackets, drops] = numbers ?? []
    this.interface = tunnel.interface
    this.charts.hidden = numbers == null
    put(this.title, `Tunnel ${tunnel.link}: ${printable(tunnel.interface)}`)
    this.fact('Tunnel', span(tunnel.state, tunnel.since, now))
    this.fact('Transport', tunnel.transport)
    this.fact('Interface', tunnel.interface + (tunnel.mtu ? `, MTU ${tunnel.mtu}` : ''))
    this.fact('Remote', tunnel.remote)
    this.fact('Key', tunnel.key)
    this.fact('Congestion control', tunnel.congestion)
    if (tunnel.share != null) this.fact('Share of flows', `${Math.round(tunnel.share * 100)} %`)
    if (numbers != null) {
      this.fact('Received', `${size(received)}, ${count(receivedPackets)} packets`)
      this.fact('Sent', `${size(sent)}, ${count(sentPackets)} packets`)
      this.fact('Dropped', `${count(drops)} packets`)
    }
    this.fact('BGP', span(bgp.state, bgp.since, now))
    this.fact('BGP neighbor', `${bgp.address || 'no address'}, AS ${bgp.asn}`)
    this.fact('Prefixes from it', `${count(bgp.received)} received, ${count(bgp.accepted)} accepted`)
    this.fact('Prefixes to it', `${count(bgp.announced)} announced`)
    this.fact('Not used', unused(bgp))
    this.whole('Tunnel went down', resets(tunnel, now))
    this.whole('BGP went down', resets(bgp, now))
    this.whole('Tunnel’s last error', tunnel.last_error)
    this.whole('BGP’s last error', bgp.last_error)
    this.whole('Malformed', bgp.last_malformed)
    this.whole('Looped', bgp.last_looped)
  }

  whole(term, text) { this.fact(term, text, 'whole') }

  // fact shows one, or takes it away if there is none.
  fact(term, text, kind = null) {
    let fact = this.facts.get(term)
    if (!fact) {
      fact = {value: make('dd', {class: 'said'})}
      fact.part = make('div', {class: kind}, make('dt', {}, term), fact.value)
      this.facts.set(term, fact)
      this.list.append(fact.part)
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
