// The last hour of one quantity, drawn as SVG. The figure's caption says in words what the lines show, and is the
// text alternative; the drawing itself is hidden from readers of text.

import {make} from './text.js'

const SVG = 'http://www.w3.org/2000/svg'
const SPANS = [5, 10, 15, 30, 60] // minutes that may be drawn
const MARGIN = {left: 66, right: 6, top: 8, bottom: 20}

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  if (text != null) element.textContent = text
  return element
}

// Chart is a figure that is drawn again when it gets other values, or another width.
export class Chart {
  // title names the quantity, format writes one value, labels name the lines. The scale goes up to least, or more.
  constructor(title, format, labels, least) {
    Object.assign(this, {title, format, labels, least})
    this.svg = shape('svg', {class: 'chart', 'aria-hidden': 'true', focusable: 'false'})
    this.caption = make('figcaption')
    this.figure = make('figure', {'aria-label': `${title}, the last hour`}, this.caption, this.svg)
    this.data = null
    new ResizeObserver(() => this.draw()).observe(this.figure)
  }

  // set takes the values of each line at times, in seconds since the epoch; null is unknown. Times further apart
  // than interval seconds and a bit have nothing known between them.
  set(times, interval, lines) {
    this.data = {times, interval, lines}
    this.caption.replaceChildren(...this.words())
    this.svg.toggleAttribute('hidden', lines.flat().every((v) => v == null))
    this.draw()
  }

  words() {
    const {lines} = this.data
    const out = [make('b', {}, this.title)]
    lines.forEach((line, i) => {
      const known = line.filter((v) => v != null).sort((a, b) => a - b)
      out.push(make('br'))
      if (this.labels.length > 1) out.push(make('span', {class: `key key-${i}`, 'aria-hidden': 'true'}), `${this.labels[i]}: `)
      if (known.length === 0) {
        out.push('nothing known in the last hour')
        return
      }
      const now = line[line.length - 1]
      out.push(`now ${now == null ? 'unknown' : this.format(now)}; median ${this.format(known[Math.floor(known.length / 2)])}, ` +
        `highest ${this.format(known[known.length - 1])} in the last hour`)
    })
    return out
  }

  draw() {
    const width = this.svg.clientWidth, height = this.svg.clientHeight
    if (!this.data || width < 80) return
    const {times, interval, lines} = this.data
    const end = times.length > 0 ? times[times.length - 1] : 0
    const first = times.find((_, i) => lines.some((line) => line[i] != null)) ?? end
    const minutes = SPANS.find((m) => end - first <= m * 60) ?? 60
    const top = ceiling(Math.max(this.least, ...lines.flat().filter((v) => v != null)))
    const x = (t) => MARGIN.left + (1 - (end - t) / (minutes * 60)) * (width - MARGIN.left - MARGIN.right)
    const y = (v) => height - MARGIN.bottom - (v / top) * (height - MARGIN.top - MARGIN.bottom)
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
    this.svg.replaceChildren(...this.axes(width, height, x, y, end, top, minutes))
    lines.forEach((line, i) => {
      this.svg.append(shape('path', {class: `line-${i}`, d: path(times, line, interval, x, y, end - minutes * 60)}))
    })
  }

  axes(width, height, x, y, end, top, span) {
    const out = []
    for (const part of [0, 0.5, 1]) {
      const at = Math.round(y(part * top)) + 0.5
      out.push(shape('line', {class: 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at}))
      out.push(shape('text', {x: MARGIN.left - 8, y: at + 4, 'text-anchor': 'end'}, part === 0 ? '0' : this.format(part * top)))
    }
    const parts = span % 4 !== 0 ? [1, 0] : width > 450 ? [1, 0.75, 0.5, 0.25, 0] : [1, 0.5, 0]
    for (const part of parts) {
      const anchor = part === 0 ? 'end' : part === 1 ? 'start' : 'middle'
      const label = part === 0 ? 'now' : part === 1 ? `${span} min ago` : `${span * part} min`
      out.push(shape('text', {x: x(end - span * part * 60), y: height - 4, 'text-anchor': anchor}, label))
    }
    return out
  }
}

// path is a line with a gap where nothing is known. A value alone between gaps is a dot.
function path(times, values, interval, x, y, from) {
  let d = '', before = null
  for (let i = 0; i < times.length; i++) {
    if (values[i] == null || times[i] < from) {
      before = null
      continue
    }
    const joined = before != null && times[i] - before < 2.5 * interval
    d += `${joined ? 'L' : 'M'}${x(times[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`
    if (!joined) d += 'h.01'
    before = times[i]
  }
  return d
}

// ceiling is the next of 1, 2, 4, 6, 8 or 10 times a power of ten above n.
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(n))
  return power * [1, 2, 4, 6, 8, 10].find((m) => m * power >= n * 0.9999)
}
