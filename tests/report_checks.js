// SPDX-License-Identifier: MIT
// What tests/reports.sh asks a page; each gives a list of what is wrong with it.

function seen(element) {
    return element.checkVisibility({visibilityProperty: true}) &&
        element.getClientRects().length > 0;
}

function named(element) {
    const text = element.classList.length ? '.' + element.classList[0] : '';
    return `${element.tagName.toLowerCase()}${text} '${element.textContent.slice(0, 30)}'`;
}

// Contrast as WCAG counts it.
const pen = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
function rgba(colour) {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return pen.getImageData(0, 0, 1, 1).data;
}
function luminance(colour) {
    const [r, g, b] = [...rgba(colour)].slice(0, 3).map(
        v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ratioOf(a, b) {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
}
function behind(element) {
    for (let e = element; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if (rgba(colour)[3] === 255) return colour;
    }
    return 'white';
}

// Text has 4.5 to 1, marks and bars 3 to 1.
function contrast() {
    const wrong = new Set(), paper = behind(document.body);
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!seen(element)) continue;
        const style = getComputedStyle(element), drawn = element instanceof SVGElement;
        if (own && element.tagName !== 'SCRIPT') {
            const r = ratioOf(drawn ? style.fill : style.color, behind(element));
            if (r < 4.5) wrong.add(`${named(element)}: ${r.toFixed(2)}`);
        }
        if (element.matches('.spot, .roof, .axis')) {
            const colour = style.stroke === 'none' ? style.fill : style.stroke;
            if (ratioOf(colour, paper) < 3) wrong.add(`${named(element)}: ${colour}`);
        }
    }
    for (const name of ['--bar', '--badbar', '--accent', '--muted']) {
        const colour = getComputedStyle(document.querySelector('h1')).getPropertyValue(name);
        const probe = document.createElement('i');
        probe.style.color = `var(${name})`;
        document.body.append(probe);
        if (ratioOf(getComputedStyle(probe).color, paper) < 3) wrong.add(`${name}: ${colour}`);
        probe.remove();
    }
    return [...wrong];
}

// Nothing sticks out of the window, but for what scrolls by itself.
function overflow() {
    const wide = document.documentElement.scrollWidth;
    if (wide <= innerWidth) return [];
    return [`${wide} wide in ${innerWidth}`, ...[...document.querySelectorAll('main *')].filter(
        e => e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll')).map(named)];
}

// What can be used has a name, is an element made for it, and a table says what it is.
const USED = 'button, select, input, summary, a, [tabindex]';
function structure() {
    const wrong = [], all = selector => [...document.querySelectorAll(selector)];
    for (const e of all(USED)) {
        const name = e.getAttribute('aria-label') || (e.labels && e.labels[0] || e).textContent;
        if (!name.trim()) wrong.push(`without a name: ${named(e)}`);
    }
    if (all('h1').length !== 1) wrong.push('headings of the first level');
    if (all('section').some(s => !s.querySelector('h2'))) wrong.push('section without heading');
    if (all('thead th').some(t => t.scope !== 'col' || !t.hasAttribute('aria-sort')))
        wrong.push('head of a column without scope or order');
    if (all('tbody tr:not(.more) > :first-child').some(t => t.scope !== 'row'))
        wrong.push('row without a head');
    const ids = all('[id]').map(e => e.id);
    if (new Set(ids).size !== ids.length) wrong.push('an id twice');
    if (all('nav a').some(a => !document.getElementById(a.hash.slice(1)))) wrong.push('dead link');
    if (all('section').length !== all('nav a').length) wrong.push('section without a link');
    if (!document.documentElement.lang) wrong.push('no language');
    return wrong;
}

// Nothing but the page itself: no element that fetches, no script beside the two.
function alone() {
    const wrong = [...document.querySelectorAll(
        'img, iframe, object, embed, link, video, audio, base, form, [src], [style*="url"]')]
        .map(named);
    if (document.scripts.length !== 2) wrong.push(`${document.scripts.length} scripts`);
    if (performance.getEntriesByType('resource').length) wrong.push('fetched something');
    if (!document.title.startsWith('tintype ')) wrong.push(`title ${document.title}`);
    return wrong;
}

// A policy that is real: neither a script nor a picture put in afterwards is let in.
async function policy() {
    const refused = new Promise(done => {
        let left = 3;
        document.addEventListener('securitypolicyviolation', () => --left || done(true));
        setTimeout(() => done(false), 3000);
    });
    const script = document.createElement('script');
    script.textContent = 'document.title = "owned"';
    const picture = document.createElement('img');
    picture.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw=';
    document.body.append(script, picture);
    fetch('data:text/plain,x').catch(() => {});
    const good = await refused && !document.title.includes('owned');
    script.remove();
    picture.remove();
    return good ? [] : ['let in'];
}

// Tab goes through all that can be used, in the order of the page, and shows where it is.
const visited = [];
document.addEventListener('focusin', event => {
    const style = getComputedStyle(event.target);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    visited.push([event.target, outlined]);
});
function focusable() {
    return [...document.querySelectorAll(USED)].filter(e => seen(e) && !e.disabled);
}
function walked() {
    const wanted = focusable(), got = visited.map(([e]) => e).slice(0, wanted.length);
    const wrong = visited.filter(([, outlined]) => !outlined).map(
        ([e]) => `no outline: ${named(e)}`);
    const at = wanted.findIndex((e, k) => e !== got[k]);
    if (at >= 0) wrong.push(`not in order, ${at} of ${wanted.length}: ${named(wanted[at])}`);
    return wrong;
}

// ---- tables ----

const tableOf = id => document.querySelector(`#${id} table`);
const columnOf = (id, k) => [...tableOf(id).tBodies[0].rows].filter(
    r => !r.classList.contains('more')).map(r => r.cells[k].textContent);

// 1,234 and 1.5e-7 and 12.3 %, in the first unit that stands in a column of milliseconds or so.
function valueOf(text) {
    if (text.includes('∞') || text === 'NaN') return Infinity;
    const scale = {k: 1e3, M: 1e6, G: 1e9, T: 1e12}[(text.match(/\d\s*([kMGT])/) || [])[1]] || 1;
    return parseFloat(text.replace(/[^0-9.e-]/g, '')) * scale;
}

// Each head of a column is pressed twice: both orders are so, and said.
function sorting(id) {
    const wrong = [], heads = [...tableOf(id).tHead.rows[0].cells];
    heads.forEach((head, k) => {
        const said = [];
        for (let press = 0; press < 2; press++) {
            head.firstElementChild.click();
            const order = head.getAttribute('aria-sort'), text = head.classList.contains('text');
            said.push(order);
            if (heads.some((h, j) => (h.getAttribute('aria-sort') === 'none') === (j === k)))
                wrong.push(`${head.textContent}: aria-sort`);
            if (text && ['call', 'shape'].includes(head.textContent)) continue;
            const list = columnOf(id, k).filter(v => v !== '–').map(v => text ? v : valueOf(v));
            const turned = order === 'ascending' ? 1 : -1;
            const bad = list.findIndex((v, i) => i && (v < list[i - 1] ? -1 : v > list[i - 1]) *
                                                 turned < 0);
            if (bad >= 0)
                wrong.push(`${head.textContent} ${order}: ${list[bad - 1]}, ${list[bad]}`);
        }
        if (new Set(said).size !== 2) wrong.push(`${head.textContent}: ${said}`);
    });
    return wrong;
}

// After `words` were typed into the filter.
function filtered(id, words) {
    const rows = [...tableOf(id).tBodies[0].rows], wrong = [];
    if (!rows.length) wrong.push('no row left');
    const status = document.querySelector(`#${id} [role="status"]`).textContent;
    if (!status.includes('in all')) wrong.push(status);
    for (const row of rows)
        if (!row.textContent.toLowerCase().includes(words)) wrong.push(row.textContent);
    return wrong;
}
