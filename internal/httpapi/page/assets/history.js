// The history: a table of the last events, the latest first.

import {age, make, moment, printable, put, putClass, said, times} from './text.js'

const MOST = 500 // events that the page keeps
const SHOWN = 200 // rows

const BAD = new Set(['tunnel_down', 'session_down', 'speaker_restarted', 'limit', 'malformed', 'route_error', 'lost'])
const GOOD = new Set(['tunnel_up', 'session_up'])

// nameOf is the peer of an event, with the tunnel if it is not the first.
function nameOf({peer, link}) {
  return peer ? (link > 0 ? `${peer}/${link}` : peer) : ''
}

// detailsOf are what else is known of an event, in the words of `warren history`.
function detailsOf(event) {
  const parts = []
  if (event.over) parts.push('over')
  if (event.condition) parts.push(event.condition)
  if (event.remote) parts.push(event.remote)
  if (event.by) parts.push(`by ${event.by}`)
  if (event.until) parts.push(`until ${moment(event.until)}`)
  if (event.count > 0) parts.push(times(event.count))
  if (event.lasted_s > 0) {
    const lasted = event.lasted_s < 1 ? `${Math.round(event.lasted_s * 1000)} ms` : age(event.lasted_s)
    parts.push(`${event.event.endsWith('_down') ? 'was up' : 'after'} ${lasted}`)
  }
  return [parts.join(', '), event.cause, (event.changes ?? []).join('; ')].filter(Boolean).join(': ')
}

const wordsOf = (event) => printable(event.event.replaceAll('_', ' '))

// History keeps events, the oldest first.
export class History {
  constructor(table, more) {
    this.body = table.tBodies[0]
    this.more = more
    this.events = []
  }

  clear() {
    this.events = []
    this.body.replaceChildren()
  }

  add(events) {
    this.events = this.events.concat(events).slice(-MOST)
    const rows = events.slice(-SHOWN).map(row).reverse()
    this.body.prepend(...rows)
    while (this.body.rows.length > SHOWN) this.body.lastElementChild.remove()
    this.body.parentElement.hidden = this.events.length === 0
    put(this.more, this.events.length === 0 ? 'Nothing has happened yet.' :
      this.body.rows.length === SHOWN ? 'Older events: warren history, or history.json.' : '')
  }

  // of are the last events of a peer as lines, the latest first.
  of(peer, most) {
    return this.events.filter((e) => e.peer === peer).slice(-most).reverse()
      .map((e) => `${moment(e.time)}: ${wordsOf(e)}${e.link > 0 ? ` (tunnel ${e.link})` : ''}${detailsOf(e) ? `, ${detailsOf(e)}` : ''}`)
  }
}

function row(event) {
  const kind = make('td', {role: 'cell'}, wordsOf(event))
  putClass(kind, BAD.has(event.event) && !event.over ? 'bad' : GOOD.has(event.event) ? 'good' : '')
  return make('tr', {role: 'row'},
    make('td', {role: 'cell'}, make('time', {datetime: event.time}, moment(event.time))),
    make('td', {role: 'cell'}, said(nameOf(event))), kind, make('td', {role: 'cell'}, said(detailsOf(event))))
}
