// Words, numbers and elements. What this page shows was in part said by peers and strangers, so it becomes text
// nodes only: nothing here, nor anywhere else, makes markup of it.

// make is an element with attributes, of which class is written so, and children, which are elements or text.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, '')
    else if (value !== false && value != null) element.setAttribute(key, value)
  }
  element.append(...children.filter((c) => c !== '' && c != null))
  return element
}

// said is what others have said, whose direction of writing ends with it.
export function said(text) {
  return make('span', {class: 'said'}, printable(text))
}

// printable leaves out characters that change how others around them are read.
export function printable(text) {
  return String(text).replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, '�')
}

// put sets an element's text if it is another: what has not changed is not read out again, nor drawn.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// putClass sets an element's class.
export function putClass(element, name) {
  if (element.className !== name) element.className = name
}

// rate is a number of bits a second.
export function rate(bits) {
  if (bits == null || Number.isNaN(bits)) return '–'
  return scaled(bits, 1000, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'])
}

// size is a number of bytes, as `warren status` writes it.
export function size(bytes) {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'])
}

function scaled(n, step, units) {
  let i = 0
  while (n >= step * 0.9995 && i < units.length - 1) {
    n /= step
    i++
  }
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toPrecision(2 + (n >= 10))} ${units[i]}`
}

// millis is a round trip; 0 stands for none.
export function millis(ms) {
  if (!ms) return '–'
  if (ms < 1) return `${ms.toPrecision(2)} ms`
  return ms < 1000 ? `${ms.toPrecision(ms < 100 ? 3 : 4)} ms` : `${(ms / 1000).toPrecision(3)} s`
}

// count is a number with its digits in groups.
export function count(n) {
  return Number(n).toLocaleString('en').replaceAll(',', '\u202f')
}

// age is how long ago, or for how long, in its two largest units.
export function age(seconds) {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`
}

// since is the age of an RFC 3339 time; '' if there is none.
export function since(time, now) {
  const at = Date.parse(time)
  return Number.isNaN(at) ? '' : age((now - at) / 1000)
}

// moment is a time of this browser's clock and date.
export function moment(time) {
  const at = new Date(time)
  if (Number.isNaN(at.getTime())) return ''
  const two = (n) => String(n).padStart(2, '0')
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

// times is how often.
export function times(n) {
  return n === 1 ? 'once' : `${count(n)} times`
}

// outOf says what an operator has done with a peer, or with the router; '' if nothing.
export function outOf({drained, down}, now) {
  if (down) return `taken down ${since(down.since, now)} ago by ${down.by}${down.message ? `: ${down.message}` : ''}`
  if (!drained) return ''
  const parts = [`drained for ${since(drained.since, now)} by ${drained.by}`]
  if (drained.router) parts.push('with the whole router')
  if (drained.until) parts.push(`until ${moment(drained.until)}`)
  if (drained.quiet_since) parts.push('no traffic is left')
  return parts.join(', ')
}
