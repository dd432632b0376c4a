// The explorer's view for anywidget: a grid of checkpoints, and one of its pictures beside it.
// The kernel keeps what is known (`browse.ipynb`); here is only what a hand does and an eye sees, so that no key waits for the kernel.
// `pictures/hands.js` stands in front of it: the ways of the keys, the wipe and the enlargement, which the HTML page has too.

const CACHED = 60 // large pictures that are kept
const LOWEST = 100 // pixels of the picture in view, at the end of its output
const AT_ONCE = 8 // thumbnails to a question: few, so that the kernel can answer a key between two
const SHOWN = [['', 'show all'], ['star', 'starred'], ['left', 'not rejected']]
const KEYS = '← → steps · ↑ ↓ prompts · B base · P photo · W wipe · F enlarge · S star · X reject · Enter keep · 1–9 seeds'

const part = (role, className, words, ...inside) => node('div', {role, className, title: words, textContent: inside.length ? '' : words}, ...inside)

function choice(options, label, changed) { // a select from {value: words}
  const out = node('select', {'aria-label': label, title: label, onchange: () => changed(out.value)})
  out.fill = (all, value) => {
    out.replaceChildren(...all.map(([key, words]) => node('option', {value: key, textContent: words, selected: key === value})))
  }
  out.fill(options, '')
  return out
}

function render({model, el}) {
  const get = name => model.get(name), ask = (what, more = {}) => model.send({ask: what, ...more})
  const thumbs = new Map(), pictures = new Map(), abouts = new Map(), cells = new Map(), near = new Set()
  let sort = '', shown = '', other = '', pinned = null, flip = '', whole = false
  let order = [], asked = false, fetching = false, told = false, was = {}

  // Where things are. A cell's number is its place in `states`, which has a letter for each.
  const heads = () => get('heads'), at = () => [get('prompt'), get('image'), get('column')]
  const number = ([prompt, image, column]) => (prompt * get('seeds')[0].length + image) * heads().length + column
  const drawn = k => 'tro'.includes(get('states')[k])
  const seed = (prompt, image) => get('seeds')[prompt][image]
  const moved = values => { Object.entries(values).forEach(([k, v]) => model.set(k, v)); model.save_changes() }
  const act = (what, value) => ask('act', {what, value, at: at()}) // of the cell that is seen: what is written of it may arrive later

  // ---- the parts
  const answer = part('status', 'tlx-answer', ''), switches = box('tlx-row-of')
  const sorting = choice([], 'order of the columns', value => { sort = value; build(); show() })
  const showing = choice(SHOWN, 'columns to show', value => { shown = value; build(); show() })
  const legend = part('rowheader', 'tlx-note', ''), lacking = box('tlx-note')
  const top = node('div', {className: 'tlx-head', role: 'rowgroup'}), body = node('div', {role: 'rowgroup'})
  const grid = node('div', {className: 'tlx-grid', role: 'grid', 'aria-label': 'prompts and checkpoints'}, top, body)
  const title = box('tlx-title'), about = box('tlx-about')
  const look = wipingPicture(toCell), picture = look.place, place = box('tlx-place', picture) // so that the arrows walk on
  const large = enlargement({go, flip: () => toggle('base'), wipe: () => wipeWith(other === '' ? '0' : ''), closed: toCell})
  const steps = node('input', {type: 'range', min: 0, className: 'tlx-steps', 'aria-label': 'checkpoint'})
  const wiping = choice([], 'compare with', wipeWith)
  const button = (words, help, onclick) => node('button', {textContent: words, title: help, onclick})
  const pin = button('Pin', 'wipe any picture with this one', () => { pinned = at(); wipeWith('pin') })
  const widen = button('Enlarge', 'the picture above everything (F); Escape leads back', enlarge)
  const full = button('100 %', 'one pixel of the picture to one of the screen', () => { whole = !whole; show() })
  const copy = button('Copy', 'copy prompt and settings', () => copyText(about.textContent))
  const star = button('★ Star', 'a favourite (S)', () => mark('star')), reject = button('✕ Reject', 'not this one (X)', () => mark('reject'))
  const note = node('input', {type: 'text', placeholder: 'a note', 'aria-label': 'note'})
  note.onchange = () => act('note', note.value)
  const like = button('', 'in which group this prompt stands', () => act('like', !row().like))
  const keep = button('', 'copy this checkpoint to chosen/ (Enter)', () => act('keep')), kept = node('span', {className: 'tlx-note'})
  keep.className = 'tlx-keep'
  const said = part('status', 'tlx-said', ''), line = (...inside) => box('tlx-row-of', ...inside)
  const controls = box('tlx-controls', title, steps, line(node('label', {textContent: 'compare with'}), wiping), line(pin, full, widen, copy), line(star, reject, note), line(keep, kept), said, about,
    line(like), box('tlx-note tlx-keys', KEYS))
  const main = box('tlx-main', grid, box('tlx-side tlx-sized', place, controls))
  const root = box('tlx', box('tlx-bar', answer, switches), lacking, main, large.dialog)
  root.setAttribute('data-lm-suppress-shortcuts', 'true') // JupyterLab's own keys are off inside
  root.onkeydown = pressed

  // ---- the grid
  const head = () => heads()[get('column')], row = () => get('rows').find(o => o.prompt === get('prompt'))

  function arrange() { // which columns are side by side, and in which order
    const all = heads().map((o, c) => ({...o, c})).filter(o => o.strength === null || o.strength === get('strength'))
    const kind = get('bars').find(o => o.name === sort)
    const kept = {'': () => true, star: o => o.mark === 'star', left: o => o.mark !== 'reject'}[shown]
    order = all.filter(o => o.strength === null || kept(o)).map(o => o.c)
    const rank = c => heads()[c].strength === null ? Infinity : kind.values[c]?.[0] ?? -1 // the base stays first
    if (kind) order.sort((a, b) => rank(a) === rank(b) ? 0 : rank(b) - rank(a))
    if (order.length && !order.includes(get('column'))) moved({column: order.find(c => heads()[c].best) ?? order.at(-1)})
  }

  function build() {
    arrange()
    root.style.setProperty('--columns', order.length)
    root.classList.toggle('tlx-some', order.length > 5)
    root.classList.toggle('tlx-many', order.length > 12)
    buildHeads()
    cells.clear()
    watcher.disconnect()
    near.clear()
    body.replaceChildren(...get('rows').flatMap(o => [...(o.heading ? [groupRow(o.heading)] : []), promptRow(o)]))
    for (const prompt of body.querySelectorAll('.tlx-prompt')) watcher.observe(prompt)
  }

  function buildHeads() {
    const label = c => {
      const o = heads()[c], badges = ({star: '★', reject: '✕'}[o.mark] ?? '') + (o.best ? '◆' : '') + (o.kept ? '✔' : '')
      const said = [o.best && 'take', o.kept && 'kept'].filter(Boolean).join(', ')
      const name = [o.label, o.mark, o.best && 'recommended', o.kept && 'kept', o.note].filter(Boolean).join(', ')
      const kinds = ['tlx-label', o.mark && `tlx-${o.mark}`, o.kept && 'tlx-kept', o.best && 'tlx-best'].filter(Boolean).join(' ')
      const out = part('columnheader', kinds, name, node('b', {textContent: o.short}), node('span', {textContent: badges}), node('small', {textContent: said}))
      out.ariaLabel = name
      out.onclick = () => choose(get('prompt'), c)
      return out
    }
    const bar = (kind, c) => {
      const [mean, low, high] = kind.values[c] ?? [], top = kind.top || 1, inWords = value => `${value.toFixed(top < 20 ? 1 : 0)}%`
      if (mean === undefined) return part('gridcell', 'tlx-bar-cell', '')
      const words = inWords(mean) + (low === null ? '' : ` (${inWords(low)} to ${inWords(high)})`)
      const share = value => `${100 * Math.min(1, Math.max(0, value / top))}%`
      const track = box('tlx-track', node('span', {style: `width:${share(mean)}`}))
      if (low !== null) track.append(node('i', {style: `left:${share(low)};width:${share(high - Math.max(0, low))}`})) // the interval
      return part('gridcell', 'tlx-bar-cell', `${heads()[c].label}: ${kind.name} ${words}`, track, node('small', {textContent: inWords(mean)}))
    }
    const kindRow = kind => {
      const name = part('rowheader', 'tlx-kind', kind.about, node('b', {textContent: kind.name}), node('span', {textContent: kind.words}))
      return part('row', 'tlx-row tlx-bars', '', name, ...order.map(c => bar(kind, c)))
    }
    top.replaceChildren(part('row', 'tlx-row', '', part('columnheader', 'tlx-note', 'step'), ...order.map(label)), ...get('bars').map(kindRow), part('row', '', '', legend))
    answer.replaceChildren(node('b', {textContent: get('answer')}), `: ${get('because')}${get('marks') && ` · ${get('marks')}`}`)
    legend.textContent = get('legend')
    const by = [['', 'by step'], ...get('bars').map(o => [o.name, `by ${o.name}`])]
    sorting.fill(by, sort)
    const several = (name, values, on) => { // nothing, where there is nothing to choose
      const buttons = values.map((value, n) => node('button', {textContent: `${name} ${value}`, 'aria-pressed': `${on(value, n)}`, onclick: () => turn(name, value, n)}))
      return values.length < 2 ? [] : [node('span', {className: 'tlx-row-of', role: 'group', 'aria-label': name}, ...buttons)]
    }
    switches.replaceChildren(...several('seed', get('seeds')[get('prompt')], (_, n) => n === get('image')),
      ...several('strength', get('strengths'), value => value === get('strength')), sorting, showing)
  }

  const groupRow = words => part('row', 'tlx-group', '', part('rowheader', '', words))

  function promptRow(o) {
    const all = order.map(c => {
      const cell = node('div', {role: 'gridcell', className: 'tlx-cell', tabIndex: -1})
      cell.at = [o.prompt, c]
      cells.set(`${o.prompt},${c}`, cell)
      return cell
    })
    const out = part('row', 'tlx-row tlx-prompt', '', part('rowheader', 'tlx-words', o.words), ...all)
    out.prompt = o.prompt
    all.forEach(cell => paint(cell, o))
    return out
  }

  function paint(cell, o) {
    const [prompt, c] = cell.at, k = number([prompt, get('image'), c]), state = get('states')[k], url = thumbs.get(k)
    cell.dataset.state = state
    cell.classList.toggle('tlx-faint', heads()[c].mark === 'reject')
    cell.style.backgroundImage = url ? `url(${url})` : ''
    const lacks = drawn(k) ? '' : `: ${get('reasons')[state]}`
    cell.setAttribute('aria-label', `${heads()[c].label}, ${o.words}${lacks}`)
    cell.title = abouts.get(k) ?? `${heads()[c].label}${lacks}`
  }

  function repaint(which) { // the cells of these prompts and columns; none names all
    const words = new Map(get('rows').map(o => [o.prompt, o]))
    for (const cell of which ?? cells.values()) paint(cell, words.get(cell.at[0]))
  }

  const watcher = new IntersectionObserver(seen => {
    for (const o of seen) o.isIntersecting ? near.add(o.target.prompt) : near.delete(o.target.prompt)
    pump()
  }, {rootMargin: '200px'})

  function pump() { // asks for thumbnails: what is on the screen first, then the rest
    if (asked) return
    const lacks = ([prompt, c]) => { const k = number([prompt, get('image'), c]); return drawn(k) && !thumbs.has(k) }
    const open = [...cells.values()].map(o => o.at).filter(lacks)
    const next = [...open.filter(o => near.has(o[0])), ...open].slice(0, AT_ONCE)
    if (next.length) {
      asked = true
      told = false
      ask('thumbs', {cells: [...new Set(next.map(([prompt, c]) => number([prompt, get('image'), c])))]})
    } else if (!told) { told = true; ask('idle') }
  }

  // ---- the picture
  const labelOf = ([prompt, image, c]) => {
    const words = prompt === get('prompt') ? '' : `, prompt ${prompt + 1}`
    return heads()[c].label + words + (image === get('image') && !words ? '' : `, seed ${seed(prompt, image)}`)
  }
  const inView = () => flip === 'photo' ? 'photo' : number(flip === 'base' ? [get('prompt'), get('image'), 0] : at())
  const under_at = () => other === 'pin' ? pinned : [get('prompt'), get('image'), +other]
  const wiped = () => other === '' ? null : other === 'photo' ? 'photo' : number(under_at())
  const sizeOf = k => whole ? `${k} whole` : `${k}`

  function fetchPictures() { // one at a time: keys that are held down leave out what is passed over
    if (fetching) return
    const next = [inView(), wiped()].find(k => k !== null && (k === 'photo' || drawn(k)) && !pictures.has(sizeOf(k)))
    if (next === undefined) return
    fetching = true
    ask('picture', {cell: next, whole})
  }

  const urlOf = k => k === null || k !== 'photo' && !drawn(k) ? undefined : pictures.get(sizeOf(k)) ?? pictures.get(`${k}`) ?? thumbs.get(k)
  const withReason = k => k === 'photo' || drawn(k) ? '' : get('reasons')[get('states')[k]]

  function show() {
    const [prompt, image, column] = at(), k = inView(), now = head(), place = order.indexOf(column)
    const rightWords = flip === 'photo' ? 'training photo' : labelOf(flip === 'base' ? [prompt, image, 0] : at())
    const leftWords = other === '' ? '' : other === 'photo' ? 'training photo' : labelOf(under_at())
    const front = {url: urlOf(k), words: rightWords, why: withReason(k)}, behind = other === '' ? null : {url: urlOf(wiped()), words: leftWords}
    look.show(front, behind)
    picture.classList.toggle('tlx-whole', whole)
    large.show({front, behind, said: flip === 'photo' ? rightWords : abouts.get(k) ?? rightWords, leads: key => !!next(key),
      base: [now.strength !== null, flip === 'base'], wiped: [true, other !== '']})
    title.replaceChildren(node('b', {textContent: now.label}), ` · seed ${seed(prompt, image)} · “${row().words}”`)
    about.textContent = abouts.get(number(at())) ?? ''
    Object.assign(steps, {max: order.length - 1, value: place, disabled: order.length < 2})
    steps.setAttribute('aria-valuetext', now.label)
    const others = [['', 'nothing'], ['photo', 'the photo'], ['pin', 'the pinned one'], ...order.map(c => [`${c}`, heads()[c].label])]
    wiping.fill(others.filter(([key]) => key === 'photo' ? get('photo') : key === 'pin' ? pinned : true), other)
    wiping.title = `compare with ${leftWords || 'nothing'}`
    star.ariaPressed = now.mark === 'star'
    reject.ariaPressed = now.mark === 'reject'
    full.ariaPressed = whole
    if (document.activeElement !== note) note.value = now.note
    for (const o of [keep, star, reject]) o.disabled = now.strength === null
    keep.textContent = now.strength === null ? 'Keep: choose a checkpoint' : `Keep ${now.label}`
    kept.textContent = get('kept') ? `kept now: ${get('kept')}` : 'nothing kept yet'
    like.textContent = row().like ? 'this prompt is like the photo' : 'this prompt is unlike the photo'
    said.textContent = get('said')
    lacking.textContent = get('lacking')
    const cell = cells.get(`${prompt},${column}`), select = (o, on) => {
      o.classList.toggle('tlx-on', on)
      o.tabIndex = on ? 0 : -1 // the grid's one tab stop
      o.ariaSelected = on
    }
    for (const o of grid.querySelectorAll('.tlx-on')) select(o, false)
    if (!cell) return
    select(cell, true)
    if (grid.contains(document.activeElement) && document.activeElement !== cell) toCell()
    fetchPictures()
  }

  function toCell() {
    const cell = grid.querySelector('.tlx-on')
    cell.focus({preventScroll: true})
    cell.scrollIntoView({block: 'nearest'})
  }

  // ---- hands
  function choose(prompt, column) { flip = ''; moved({prompt, column}); toCell() }
  function mark(value) { if (head().strength !== null) act('mark', head().mark === value ? '' : value) }
  function turn(name, value, n) {
    if (name === 'seed') return moved({image: n})
    const place = order.indexOf(get('column')), same = heads().findIndex(o => o.strength === value && o.step === head().step)
    moved({strength: value, column: head().strength === null ? get('column') : same})
  }
  function toggle(what) { flip = flip === what ? '' : what; show() }
  function wipeWith(value) { other = value; show() }
  function enlarge() { large.open(); show() }
  function next(key) {
    const rows = get('rows').map(o => o.prompt), from = [rows.indexOf(get('prompt')), order.indexOf(get('column'))]
    const to = nextPlace(from, key, (r, c) => rows[r] !== undefined && order[c] !== undefined || undefined)
    return to && [rows[to[0]], order[to[1]]]
  }
  function go(key) { const to = next(key); if (to) choose(...to) }
  async function copyText(text) {
    try {
      await navigator.clipboard.writeText(text)
      moved({said: 'copied'})
    } catch { // a page that comes from elsewhere without https has no clipboard
      getSelection().selectAllChildren(about)
      moved({said: 'selected below; copy it with Ctrl-C'})
    }
  }

  function pressed(event) {
    const key = keyOf(event), on = event.target, rowOf = get('prompt')
    if (!key) return
    event.stopPropagation()
    if (on.matches('input, select') || (on.matches('button') && ['Enter', 'Tab'].includes(key)) || key === ' ') return
    const keysOf = {Home: () => choose(rowOf, order[0]), End: () => choose(rowOf, order.at(-1)), b: () => toggle('base'), p: () => get('photo') && toggle('photo'),
      w: () => wipeWith(other === '' ? '0' : ''), f: () => large.dialog.open ? large.dialog.close() : enlarge(),
      s: () => mark('star'), x: () => mark('reject'), Enter: () => head().strength !== null && act('keep')}
    const image = '123456789'.indexOf(key)
    if (image >= 0 && image < get('seeds')[0].length) moved({image})
    else if (key in WAYS) go(key)
    else if (keysOf[key]) keysOf[key]()
    else return
    event.preventDefault()
  }

  grid.onclick = event => { const cell = event.target.closest('.tlx-cell'); if (cell) choose(...cell.at) }
  steps.oninput = () => { flip = ''; moved({column: order[steps.value]}) }

  // ---- the room: where the output ends, the picture gets lower instead of being cut off
  let scroller = document, all = root
  function fitToRoom() {
    const edge = scroller.getBoundingClientRect?.().top ?? 0, room = place.getBoundingClientRect()
    root.style.setProperty('--below', `${all.getBoundingClientRect().bottom - main.getBoundingClientRect().bottom}px`) // what stands below leaves the viewer's column free
    root.style.setProperty('--head', `${top.offsetHeight}px`) // no cell that is walked to is under it
    place.style.setProperty('--hidden', `${Math.min(Math.max(0, edge - room.top), room.height - LOWEST)}px`)
  }
  const scrolled = event => { if (event.target.contains(root)) { scroller = event.target; fitToRoom() } }
  document.addEventListener('scroll', scrolled, {capture: true, passive: true})
  const resized = new ResizeObserver(fitToRoom)

  // ---- what the kernel says
  function heard(about, buffers) {
    const url = n => URL.createObjectURL(new Blob([buffers[n]], {type: 'image/jpeg'}))
    if (about.thumbs) {
      asked = false
      about.thumbs.forEach(([k, words], n) => { if (buffers[n].byteLength) thumbs.set(k, url(n)); abouts.set(k, words) })
      repaint([...cells.values()].filter(o => about.thumbs.some(([k]) => k === number([o.at[0], get('image'), o.at[1]]))))
      pump()
    } else {
      fetching = false
      pictures.set(about.whole ? `${about.picture} whole` : `${about.picture}`, url(0))
      abouts.set(about.picture, about.about)
      for (const key of [...pictures.keys()].slice(0, -CACHED)) { URL.revokeObjectURL(pictures.get(key)); pictures.delete(key) }
    }
    show()
  }

  function changed() {
    const names = ['rows', 'heads', 'bars', 'strength', 'image', 'states', 'answer', 'because', 'marks', 'legend', 'prompt'], now = Object.fromEntries(names.map(name => [name, get(name)]))
    const old = was, before = old.states ?? '', differs = name => now[name] !== old[name]
    was = now
    for (let k = 0; k < before.length; k++) {
      if (now.states[k] === before[k] || 'ro'.includes(now.states[k]) && before[k] === 't') continue
      thumbs.delete(k) // drawn anew, or gone
      for (const key of [`${k}`, `${k} whole`]) pictures.delete(key)
    }
    const columns = order.join()
    if (differs('heads') || differs('bars')) arrange()
    if (differs('rows') || differs('strength') || columns !== order.join()) build()
    else {
      if (['heads', 'bars', 'answer', 'because', 'marks', 'legend', 'image', 'prompt'].some(differs)) buildHeads()
      if (differs('image') || differs('heads')) repaint()
      else if (now.states !== before) {
        const place = o => number([o.at[0], now.image, o.at[1]])
        repaint([...cells.values()].filter(o => now.states[place(o)] !== before[place(o)])) // only what has changed: a grid may have thousands
      }
    }
    show()
    pump()
  }

  el.append(root)
  model.on('msg:custom', heard)
  model.on('change', changed)
  ask('hello')
  changed()
  const placed = new ResizeObserver(() => { // only what has its place can be measured, or scrolled to
    placed.disconnect()
    all = root.closest('.tlx-explorer') ?? root
    for (const o of [all, main, top]) resized.observe(o)
    if (get('arrive')) all.scrollIntoView({block: 'start'}) // a grid that is opened from below its predecessor
  })
  placed.observe(root)
  return () => {
    watcher.disconnect()
    for (const o of [placed, resized]) o.disconnect()
    document.removeEventListener('scroll', scrolled, true)
    for (const url of [...thumbs.values(), ...pictures.values()]) URL.revokeObjectURL(url)
  }
}

export default {render}
