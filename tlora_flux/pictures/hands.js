// What a hand does with a grid of pictures: the ways that arrows and swipes go, the wipe that is dragged, and the enlargement above everything.
// The HTML page holds this file in front of its own script, and so does the explorer's view: it imports nothing and exports nothing.

const WAYS = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}
const WAYS_IN_WORDS = {ArrowLeft: ['←', 'checkpoint before'], ArrowRight: ['→', 'next checkpoint'], ArrowUp: ['↑', 'prompt before'], ArrowDown: ['↓', 'next prompt']}
const SWIPE = 40 // pixels; what is shorter was a tap

function node(tag, about = {}, ...inside) {
  const out = document.createElement(tag)
  for (const [name, value] of Object.entries(about)) name in out ? out[name] = value : out.setAttribute(name, value)
  out.append(...inside)
  return out
}

const box = (className, ...inside) => node('div', {className}, ...inside)

function keyOf(event) { // empty for what belongs to the browser
  if (event.ctrlKey || event.metaKey || event.altKey) return ''
  return event.key.length === 1 ? event.key.toLowerCase() : event.key
}

function nextPlace([row, column], key, has) { // the next place on that way; `has` says true, false for one to pass over, undefined for the end
  const [down, across] = WAYS[key]
  do { row += down; column += across } while (has(row, column) === false)
  return has(row, column) && [row, column]
}

function onSwipe(place, go) { // a finger, or a pointer that is held down
  let from = null
  place.moved = false
  place.addEventListener('pointerdown', event => { from = event.isPrimary ? [event.clientX, event.clientY] : null; place.moved = false })
  place.addEventListener('pointerup', event => {
    if (!from || event.target.matches('input') || visualViewport?.scale > 1.05) return // the wipe, and a picture that is zoomed, take it themselves
    const x = event.clientX - from[0], y = event.clientY - from[1]
    from = null
    place.moved = Math.hypot(x, y) > SWIPE
    if (place.moved) go(Math.abs(x) > Math.abs(y) ? (x < 0 ? 'ArrowRight' : 'ArrowLeft') : (y < 0 ? 'ArrowDown' : 'ArrowUp'))
  })
}

function wipingPicture(put) { // a picture, and another one below it; the edge between them is dragged, and `put` is called when it is let go
  const over = node('img', {className: 'tlx-over', draggable: false}), under = node('img', {className: 'tlx-under', draggable: false})
  const edge = node('input', {type: 'range', min: 0, max: 100, step: .5, className: 'tlx-edge', 'aria-label': 'edge of the wipe'})
  const left = box('tlx-left'), right = box('tlx-right'), why = box('tlx-why')
  const place = box('tlx-picture', under, over, why, node('i'), left, right, edge)
  const wipe = () => place.style.setProperty('--edge', edge.disabled ? '0%' : `${edge.value}%`)
  const fill = (image, {url, words}) => {
    if (!url) image.removeAttribute('src')
    else if (image.src !== url) image.src = url
    image.alt = words
    image.hidden = !url
  }
  over.onload = () => place.closest('.tlx-sized').style.setProperty('--ratio', over.naturalWidth / over.naturalHeight) // that box gives the place its size
  edge.oninput = wipe
  edge.onpointerup = put
  return {place, over, show(front, behind) { // each {url, words}; what has no url says `why`
    fill(over, front)
    fill(under, behind ?? {words: ''})
    why.textContent = front.why ?? ''
    left.textContent = behind?.words ?? ''
    right.textContent = front.words
    edge.disabled = !behind
    place.classList.toggle('tlx-wiped', !!behind)
    wipe()
  }}
}

function enlargement({go, flip, wipe, closed}) { // what its buttons and swipes call; and when it is closed
  const button = (words, help, onclick) => node('button', {type: 'button', textContent: words, 'aria-label': help, onclick})
  const close = button('✕', 'close', () => dialog.close()), look = wipingPicture(() => close.focus())
  const ways = Object.entries(WAYS_IN_WORDS).map(([key, [sign, help]]) => [key, button(sign, help, () => go(key))])
  const flips = button('base', 'base', flip), wipes = button('wipe', 'wipe', wipe)
  const stage = box('tlx-stage tlx-sized', look.place), words = node('p', {className: 'tlx-telling', 'aria-live': 'polite', dir: 'auto'})
  const keys = box('tlx-ways', ...ways.map(([, o]) => o), flips, wipes, close)
  const dialog = node('dialog', {className: 'tlx-large', 'aria-label': 'enlarged picture'}, stage, words, keys)
  const can = (o, yes) => o.setAttribute('aria-disabled', !yes), press = (o, on) => o.setAttribute('aria-pressed', on)
  dialog.onclose = closed
  dialog.onkeydown = event => { // Tab goes round and round within
    if (keyOf(event) !== 'Tab') return
    const all = [...dialog.querySelectorAll('button, input:not(:disabled)')].filter(o => o.offsetWidth)
    const n = all.indexOf(document.activeElement) + (event.shiftKey ? -1 : 1)
    event.preventDefault()
    all[(n + all.length) % all.length].focus()
  }
  stage.onclick = event => { if (event.target === stage && !stage.moved) dialog.close() } // in the dark around the picture
  onSwipe(stage, go)
  return {dialog, open() { dialog.showModal(); close.focus() }, show({front, behind, said, leads, base, wiped}) { // `base` and `wiped`: [can be, is]
    look.show(front, behind)
    words.textContent = said
    for (const [key, o] of ways) can(o, leads(key))
    for (const [o, [yes, on]] of [[flips, base], [wipes, wiped]]) { can(o, yes); press(o, on) }
  }}
}
