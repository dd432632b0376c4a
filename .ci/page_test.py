"""The HTML page of a grid in a real browser: real keys, pointer and finger at four widths, in both colour schemes.

    python .ci/page_test.py [FOLDER]      # screenshots go there, or into a temporary folder

Needs the package `playwright` (its own browsers are not used) and a chromium on the PATH; neither JupyterLab nor torch.
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

from tlora_flux.pictures.board import board_of
from tlora_flux.pictures.grid import save_cell
from tlora_flux.pictures.page import save_page
from tlora_flux.pictures.picks import change_pick, pick_key

flags = ('--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
         '--disable-component-update --disable-sync').split()
prompts = ('a photo of a sks brick texture swatch', 'a photo of a large sks brick ball in the center, green background',
           'صورة كرة من الطوب', '大理石の立方体、左側、白い背景、柔らかい朝の光', 'Donaudampfschifffahrtsgesellschaftskapitänsmütze'*3,
           'a photo of a large sks brick bottle in the right, pink background' + ', soft morning light, shallow depth of field'*9)
colours = ('firebrick', 'seagreen', 'goldenrod', 'steelblue', 'plum', 'teal')
steps, missing = (None, 100, 200, 300, 400), {(1, 0, 3), (4, 1, 0), (5, 1, 4)}  # cells by prompt, image, column


def make_grid(home):
    "A grid of 6 prompts, 2 seeds and 5 columns, painted: the more steps, the larger the ball; three are missing."
    folder, run = home/'outputs/infer_brick', home/'outputs/brick'
    for place in (folder, run): place.mkdir(parents=True)
    cells = []
    for p, words in enumerate(prompts):
        for i in range(2):
            for c, step in enumerate(steps):
                settings = dict(prompt=words, negative_prompt='', seed=7 + i, width=128, height=96, num_inference_steps=4,
                                guidance_scale=0., true_cfg_scale=1., strength=float(c > 0), step=step, adapter='a' if c else None)
                cells.append(dict(file=f'{p + 1:02d}-{i}-{c}.png', row=2*p + i, column=c, **settings))
                if (p, i, c) in missing: continue
                picture, side = Image.new('RGB', (128, 96), colours[p]), 10 + 18*c
                ImageDraw.Draw(picture).ellipse((20, 10 + 10*i, 20 + side, 10 + 10*i + min(side, 70)), 'white')
                save_cell(picture, folder/cells[-1]['file'], settings, 3.)
    plan = dict(run='brick', base='micro', settings='4 steps', columns=['base model', *(f'step {s}' for s in steps[1:])],
                rows=[''], cells=cells)
    (folder/'grid.json').write_text(json.dumps(plan))
    board = board_of(folder)
    change_pick(run, 'columns', pick_key(board.columns[2]), dict(mark='star', note='the mortar holds, '*20))
    change_pick(run, 'columns', pick_key(board.columns[4]), dict(mark='reject'))
    row = dict(step=300, fidelity=[.82, .7, .9], alignment=[.95, .9, 1.])
    (run/'judge.json').write_text(json.dumps(dict(step=300, sentence='step 300: as like the photo as any', rows=[row])))
    return folder


def large(page): return page.locator('dialog').evaluate('o => o.open')


def said(page): return page.locator('.tlx-telling').inner_text()


def label(page, cell): return page.locator('tr.cells').nth(cell[0]).locator('td').nth(cell[1]).locator('button').get_attribute('title')


def is_on_top(page):
    "Whether all that is seen, at many places of the window, belongs to the enlargement."
    return page.evaluate("""() => [...Array(20)].every((_, x) => [...Array(20)].every((_, y) =>
        document.elementFromPoint((x + .5)*innerWidth/20, (y + .5)*innerHeight/20)?.closest('dialog')))""")


def check_table(page, width):
    "Nothing is wider than its place; words are cut, not over their neighbour; marks and gaps are told."
    inner, whole = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
    assert whole <= inner or width <= 600, (inner, whole)  # a telephone scrolls through the columns
    over = page.evaluate("""() => [...document.querySelectorAll('.words div, thead div, .note')]
        .filter(o => o.scrollWidth > o.clientWidth + 1).map(o => o.textContent)""")
    assert not over, over
    bars = page.evaluate("""() => [...document.querySelectorAll('body *')].filter(o => o.offsetWidth && ['auto', 'scroll'].includes(getComputedStyle(o).overflowY)
        && o.scrollHeight > o.clientHeight + 1).map(o => o.className)""")
    assert not bars, bars
    heads = page.locator('thead th').all_inner_texts()
    assert '★ star' in heads[3] and 'recommended' in heads[4] and '✕ reject' in heads[5], heads
    assert '◆ Take step 300: as like the photo as any' in page.inner_text('body')
    assert 'fidelity 82%' in heads[4] and 'alignment 95%' in heads[4] and 'fidelity' not in heads[3], heads
    assert page.locator('.none').count() == 3 and page.get_by_text('Missing, each a dot: 3').count() == 1
    assert page.locator('td.out').count() == 11 and page.locator('tr.cells small').first.inner_text() == 'seed 7'
    if width <= 600:
        page.evaluate('scrollTo(400, 0)')
        lefts = page.evaluate("[...document.querySelectorAll('.words, h2')].map(o => o.getBoundingClientRect().left)")
        assert min(lefts) >= 0, lefts  # they stay when the rest is scrolled
        page.evaluate('scrollTo(0, 0)')


def check_keys(page):
    "One tab stop for the grid; arrows walk, over what is missing; Enter, arrows and B in the enlargement; Escape stays closed."
    page.keyboard.press('Tab')
    assert page.evaluate("document.activeElement.title") == label(page, (0, 0))
    for key in ('ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowDown', 'ArrowRight'): page.keyboard.press(key)
    assert page.evaluate("document.activeElement.title") == label(page, (2, 4))  # column 3 is missing there
    page.keyboard.press('Enter')
    assert large(page) and said(page) == label(page, (2, 4)) and is_on_top(page)
    page.keyboard.press('ArrowLeft')
    assert said(page) == label(page, (2, 2))
    page.keyboard.press('b')
    assert said(page) == label(page, (2, 0)) and 'base model' in said(page)
    page.keyboard.press('b')
    for key in ('ArrowDown', 'ArrowUp', 'ArrowUp'): page.keyboard.press(key)
    assert said(page) == label(page, (1, 2))
    page.keyboard.press('Tab')
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press('Escape')
    page.wait_for_function('t => document.activeElement.title == t', arg=label(page, (1, 2)))  # back in its place
    assert not large(page)
    page.keyboard.press('ArrowRight')
    assert not large(page) and page.evaluate("document.activeElement.title") == label(page, (1, 3))
    page.evaluate('document.activeElement.blur()')
    page.keyboard.press('ArrowRight')
    assert not large(page)


def swipe(page, across, down):
    "A finger, or a pressed pointer, over the middle of the window."
    size = page.viewport_size
    x, y = size['width']/2, size['height']/2 - 40
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()


def check_pointer(page):
    "A click enlarges, buttons and swipes lead on, the dark around it closes."
    page.locator('tr.cells').nth(3).locator('td').nth(1).locator('button').click()
    assert large(page) and said(page) == label(page, (3, 1)) and is_on_top(page)
    swipe(page, -90, 10)
    assert said(page) == label(page, (3, 2))
    swipe(page, 90, 10)
    assert said(page) == label(page, (3, 1))
    swipe(page, 5, -90)
    assert said(page) == label(page, (4, 1))
    for name, cell in (('next checkpoint', (4, 2)), ('next prompt', (5, 2)), ('prompt before', (4, 2)), ('checkpoint before', (4, 1))):
        page.get_by_role('button', name=name, exact=True).click()
        assert large(page) and said(page) == label(page, cell), name
    page.get_by_role('button', name='base', exact=True).click()
    assert said(page) == label(page, (4, 0))
    page.get_by_role('button', name='close', exact=True).click()
    assert not large(page)


def check_wipe(page, shot):
    "W, or its button, lays the base model's picture below; the edge is dragged; beside the picture a click closes."
    page.locator('tr.cells').nth(3).locator('td').nth(2).locator('button').click()
    page.keyboard.press('w')
    halves = "[document.querySelector('.tlx-left').textContent, document.querySelector('.tlx-right').textContent, getComputedStyle(document.querySelector('.tlx-over')).clipPath]"
    assert page.evaluate(halves)[:2] == ['base model, seed 8', 'step 200, seed 8'] and ' 50%' in page.evaluate(halves)[2], page.evaluate(halves)
    place = page.locator('.tlx-picture').bounding_box()
    y = place['y'] + place['height']/2
    page.mouse.move(place['x'] + place['width']/2, y)
    page.mouse.down()
    page.mouse.move(place['x'] + place['width']*.25, y, steps=4)
    page.mouse.up()
    assert abs(float(page.locator('.tlx-edge').input_value()) - 25) < 4 and large(page)
    page.keyboard.press('ArrowRight')
    assert page.evaluate(halves)[:2] == ['base model, seed 8', 'step 300, seed 8']
    page.screenshot(path=shot)
    page.get_by_role('button', name='wipe', exact=True).click()
    assert not page.locator('.tlx-left').is_visible()
    page.mouse.click(page.viewport_size['width'] - 4, 4)
    assert not large(page)


def check_finger(page):
    "A tap enlarges; the picture is as wide as the window."
    page.locator('tr.cells').nth(0).locator('td').nth(0).locator('button').tap()
    assert large(page) and page.locator('.tlx-over').bounding_box()['width'] > .9*page.viewport_size['width']
    assert page.locator('.tlx-ways button').evaluate_all('o => o.every(b => b.offsetHeight >= 44)')
    page.get_by_role('button', name='close', exact=True).tap()
    assert not large(page)


def contrast(page):
    "The least contrast of words on their background, by the formula of WCAG."
    return page.evaluate("""() => { const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v/255).map(v => v <= .04045 ? v/12.92 : ((v + .055)/1.055)**2.4); return .2126*r + .7152*g + .0722*b }
      const paper = light(getComputedStyle(document.body).backgroundColor)
      return Math.min(...['h1', '.answer', '.hint', '.note', '.chip', '.bar', 'small', '.words p', '.none'].map(o => light(getComputedStyle(document.querySelector(o)).color)).map(v => (Math.max(v, paper) + .05)/(Math.min(v, paper) + .05))) }""")


def check_page(browser, file, scheme, width, shots):
    "Everything, at one width and in one colour scheme."
    context = browser.new_context(viewport=dict(width=width, height=800), color_scheme=scheme, has_touch=width == 400)
    page, errors = context.new_page(), []
    page.set_default_timeout(20000)
    page.on('pageerror', lambda e: errors.append(str(e)))
    page.goto(f'file://{file}')
    assert page.evaluate('document.documentElement.lang') == 'en'
    assert (found := contrast(page)) >= 4.5, found
    check_table(page, width)
    page.screenshot(path=shots/f'page_{scheme}_{width}.png')
    check_keys(page)
    check_pointer(page)
    check_wipe(page, shots/f'page_{scheme}_{width}_wipe.png')
    if width == 400: check_finger(page)
    page.locator('tr.cells').nth(10).locator('td').nth(2).locator('button').click()
    page.screenshot(path=shots/f'page_{scheme}_{width}_large.png')
    assert not errors, errors
    context.close()


def main():
    home = Path(tempfile.mkdtemp(prefix='tlora_page_'))
    shots = Path(sys.argv[1] if len(sys.argv) > 1 else home/'shots').resolve()
    shots.mkdir(parents=True, exist_ok=True)
    file = save_page(make_grid(home))
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=flags)  # its profile is empty and temporary
        for scheme in ('light', 'dark'):
            for width in (400, 700, 1280, 1920): check_page(browser, file, scheme, width, shots)
        browser.close()
    print('page test passed; screenshots in', shots.name)
    if len(sys.argv) > 1: shutil.rmtree(home)


if __name__ == '__main__': main()
