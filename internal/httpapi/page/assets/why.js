// Why a prefix has the route that it has: a form, and the answer as `warren why` gives it.

import {make, printable, put, said} from './text.js'

// Why is the form and its answer.
export class Why {
  constructor(form, problem, answer) {
    Object.assign(this, {form, problem, answer})
    this.asked = 0
    form.addEventListener('submit', (e) => {
      e.preventDefault()
      this.ask(new URLSearchParams(new FormData(form)))
    })
  }

  // offer has the peers to choose from. What was chosen stays.
  offer(names) {
    for (const select of [this.form.elements.from, this.form.elements.to]) {
      const chosen = select.value
      select.replaceChildren(make('option', {value: ''}, 'all peers'), ...names.map((n) => make('option', {value: n}, printable(n))))
      select.value = names.includes(chosen) ? chosen : ''
    }
  }

  async ask(question) {
    const number = ++this.asked
    question.set('prefix', question.get('prefix').trim())
    this.form.setAttribute('aria-busy', 'true')
    let answer, problem = ''
    try {
      const response = await fetch(`why.json?${question}`)
      answer = await response.json()
      if (!response.ok) problem = answer.error ?? `the answer is ${response.status}`
    } catch {
      problem = 'the daemon does not answer'
    }
    if (number !== this.asked) return // another question has followed
    this.form.removeAttribute('aria-busy')
    put(this.problem, printable(problem))
    this.form.elements.prefix.setAttribute('aria-invalid', String(problem !== ''))
    this.answer.hidden = problem !== ''
    if (problem === '') {
      this.answer.replaceChildren(...words(answer))
      this.answer.focus({preventScroll: true})
      this.answer.scrollIntoView({block: 'nearest'})
    } else {
      this.form.elements.prefix.focus()
    }
  }
}

function words(y) {
  const out = [make('h3', {class: 'code'}, heading(y))]
  const line = (...parts) => out.push(make('p', {}, ...parts))
  if ((y.refused_longer ?? []).length > 0) line('More specific, announced and not used: ', said((y.refused_longer ?? []).join(', ')), '.')
  if (y.local) line(make('b', {}, 'own: '), 'this router announces it itself', key(y.local_by))
  if ((y.candidates ?? []).length > 0) out.push(candidates((y.candidates ?? [])))
  else line(said(absent(y)))
  if (y.more > 0) line(`${y.more} more: choose a peer in “From”.`)
  line(make('b', {}, 'Kernel: '), said(kernel(y.kernel)))
  if (y.kernel.tunnel) line(said(through(y.kernel.tunnel)))
  if ((y.announced_to ?? []).length > 0) line(make('b', {}, 'Announced to: '), said((y.announced_to ?? []).join(', ')))
  if ((y.not_announced_to ?? []).length > 0) {
    line(make('b', {}, 'Not announced to:'))
    out.push(make('ul', {}, ...(y.not_announced_to ?? []).map((e) => make('li', {}, said(`${e.peer}: ${e.reason}`), key(e.by)))))
  }
  return out
}

function heading(y) {
  if (!y.address) return said(y.prefix)
  return said(y.prefix ? `${y.address} is in ${y.prefix}` : y.address)
}

// key names the line of a file, or the key, that decides.
function key(by) {
  return by ? make('span', {class: 'code quiet said'}, ` ${printable(by)}`) : ''
}

function candidates(all) {
  const head = ['Verdict', 'Peer', 'Reason', 'Attributes'].map((h) => make('th', {scope: 'col', role: 'columnheader'}, h))
  return make('table', {role: 'table'}, make('caption', {class: 'unseen'}, 'Routes that peers announce'),
    make('thead', {role: 'rowgroup'}, make('tr', {role: 'row'}, ...head)), make('tbody', {role: 'rowgroup'}, ...all.map(candidate)))
}

function candidate(c) {
  const on = c.interface && c.interface !== c.peer ? ` (${c.interface})` : ''
  const kind = c.verdict === 'best' ? 'good' : c.verdict === 'reserve' ? '' : 'bad'
  return make('tr', {role: 'row'}, make('th', {scope: 'row', role: 'rowheader', class: kind}, said(c.verdict)),
    make('td', {role: 'cell', class: 'peer'}, said(c.peer + on)), make('td', {role: 'cell'}, said(c.reason), key(c.by)),
    make('td', {role: 'cell', class: 'quiet'}, said(attributes(c))))
}

function attributes(c) {
  if (!c.origin) return ''
  const parts = [`AS_PATH ${c.as_path || 'empty'}`, `LOCAL_PREF ${c.local_pref}`, `ORIGIN ${c.origin}`, `MED ${c.med}`, `next hop ${c.next_hop}`]
  if ((c.communities ?? []).length > 0) parts.push(`communities ${(c.communities ?? []).join(' ')}`)
  if (c.stale) parts.push('kept since its connection was lost')
  return parts.join(', ')
}

function absent(y) {
  const text = `No peer announces ${y.address && !y.prefix ? 'a prefix that it is in' : 'it'}`
  if (y.local) return `${text}.`
  if ((y.would_import ?? []).length === 0) return `${text}, and import of no peer would take it.`
  return `${text}; import of ${(y.would_import ?? []).join(', ')} would take it.`
}

function kernel(k) {
  const to = `a packet to ${k.to}`
  if (!k.route) return `${to} goes nowhere: ${k.text}${k.owned ? ', and it is Warren’s' : ''}`
  return `${to} takes ${k.route}: ${k.owned ? 'Warren’s' : `not Warren’s, but ${k.owner}`}`
}

function through(t) {
  const by = t.carried_by ? `, carried by ${t.carried_by}${t.carried_why ? ` (${t.carried_why})` : ''}` : ''
  return `Through the tunnel to ${t.peer}: transport ${t.transport}${by}${t.state === 'up' ? '' : `, which is ${t.state}`}.`
}
