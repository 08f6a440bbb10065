// SPDX-License-Identifier: MIT
// What both reports are made of: elements, numbers, columns, tables, trees, plots. What comes from
// files becomes text and attributes, never markup.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);

// ---- elements ----

const DRAWN = new Set(['svg', 'g', 'path', 'line', 'rect', 'text', 'circle']);

// Control characters and changes of direction are not obeyed.
function shown(text) {
    const obeyed =
        /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
    return String(text).replace(obeyed, '\ufffd');
}

// make('p', {class: 'x', onclick: f, style: {'--part': '3%'}}, 'text', element, [more], null)
function make(tag, attributes, ...children) {
    const element = DRAWN.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag)
        : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
        else if (key === 'style')
            for (const [name, what] of Object.entries(value)) element.style.setProperty(name, what);
        else element.setAttribute(key, value === true ? '' : shown(value));
    }
    return add(element, ...children);
}

// Texts and elements, in lists of lists; what is null or false is left out.
function add(element, ...children) {
    for (const child of children.flat(Infinity))
        if (child !== null && child !== undefined && child !== false)
            element.append(child instanceof Node ? child : shown(child));
    return element;
}

// A name, which may break behind dots and underlines.
function pathText(name) {
    return shown(name).split(/(?<=[._])/).flatMap((part, i) => i ? [make('wbr'), part] : [part]);
}

function button(text, onclick, attributes) {
    return make('button', {type: 'button', onclick, ...attributes}, text);
}

// A choice of [value, text] pairs with a label.
function choice(label, pairs, onchange) {
    const select = make('select', {onchange: () => onchange(select.value)},
                        pairs.map(([value, text]) => make('option', {value}, text)));
    return make('label', {class: 'choice'}, make('span', null, label), select);
}

function section(id, title, ...children) {
    return make('section', {id, 'aria-labelledby': id + '-title'},
                make('h2', {id: id + '-title'}, title), children);
}

function facts(pairs) {
    return make('dl', {class: 'facts'}, pairs.filter(([, value]) => has(value)).map(
        ([name, value]) => make('div', null, make('dt', null, name), make('dd', null, value))));
}

function has(value) {
    return value !== null && value !== undefined && value !== '';
}

// ---- numbers ----

function digits(x, count = 4) {
    if (!has(x) || Number.isNaN(x)) return '–';
    if (!Number.isFinite(x)) return x > 0 ? '∞' : '-∞';
    const size = Math.abs(x);
    if (Number.isInteger(x) && size < 1e6) return x.toLocaleString('en');
    if (size < 1e-3 || size >= 1e6) return x.toExponential(2).replace('e+', 'e');
    return size >= 1000 ? Math.round(x).toLocaleString('en') : x.toPrecision(count);
}

function prefixed(x, unit) {
    if (!has(x)) return '–';
    if (Math.abs(x) < 1000) return digits(x, 3) + ' ' + unit;
    const power = Math.min(5, Math.floor(Math.log10(Math.abs(x)) / 3 + 1e-9));
    return (x / 1000 ** power).toPrecision(3) + ' ' + ' kMGTP'[power] + unit;
}

const milliseconds = x => !has(x) ? '–' : x >= 10000 ? (x / 1000).toPrecision(4) + ' s'
    : x && x < 0.1 ? (1000 * x).toPrecision(3) + ' µs' : digits(x) + ' ms';
const percent = x => has(x) ? (100 * x).toFixed(1) + ' %' : '–';
const shapeText = text => has(text) ? text.replace(/[[\]]/g, '').replaceAll(',', '×') : '–';
const plural = (n, what) => `${digits(n)} ${what}${n === 1 ? '' : 's'}`;

// ---- columns, as report.c packs them ----

const none = () => null;

// The values of one: a function of the row.
function values(column) {
    if (Array.isArray(column)) return i => column[i];
    if (column.words) return i => column.words[column.of[i]];
    if (column.at) {
        const sparse = new Map(column.at.map((row, k) => [row, column.values[k]]));
        return i => sparse.has(i) ? sparse.get(i) : null;
    }
    return () => column.same;
}

// Tables one behind another as one: rows are counted through; get.KEY(row), null for a key that is
// not there; tables: {base: its first row, rows, keys}; of: which table a row is in.
function unpack(packed) {
    const tables = packed.map(() => null), keys = new Set(), get = {};
    let rows = 0;
    packed.forEach((table, k) => {
        tables[k] = {base: rows, rows: table.rows, keys: new Set(Object.keys(table.columns))};
        tables[k].keys.forEach(key => keys.add(key));
        rows += table.rows;
    });
    const of = new Uint32Array(rows);
    tables.forEach((table, k) => of.fill(k, table.base, table.base + table.rows));
    for (const key of keys) {
        const own = packed.map(table => key in table.columns
            ? values(data.pool[table.columns[key]]) : none);
        get[key] = i => own[of[i]](i - tables[of[i]].base);
    }
    return {rows, keys: [...keys], tables, of: i => of[i],
            all: Array.from({length: rows}, (_, i) => i),
            get: new Proxy(get, {get: (found, key) => found[key] || none})};
}

// ---- tables ----

// Rows come in such portions: a table of 60,000 is not put on the page at once.
const PORTION = 100;

// columns: {label, title, get, show (of the value), text: is one, order: sorts instead of get};
// the first names the row. more(row): an element that the name unfolds. sort: [column, direction]
// at first; without, rows stay as they come.
// filter(test) leaves the rows that pass.
function table({label, columns, rows, sort, more, mark}) {
    const body = make('tbody'), count = make('span', {role: 'status'});
    const further = button('', () => append(5 * PORTION));
    let [key, direction] = sort || [-1, 1], sorted = [], visible = [], test = null, drawn = 0;

    function row(i) {
        const [first, ...others] = columns;
        const title = first.element ? first.element(i) : pathText(first.get(i));
        let below = null;
        const name = more ? button(title, () => {
            if (below) { below.remove(); below = null; }
            else line.after(below = make('tr', {class: 'more'}, make(
                'td', {colspan: columns.length}, make('div', null, more(i)))));
            name.setAttribute('aria-expanded', String(Boolean(below)));
        }, {class: 'name', 'aria-expanded': 'false'}) : make('span', null, title);
        const line = make('tr', {class: mark && mark(i)}, make('th', {scope: 'row'}, name),
            others.map(c => make('td', {class: c.text ? 'text' : null},
                                 c.element ? c.element(i) : (c.show || digits)(c.get(i)))));
        return line;
    }
    function append(n) {
        body.append(...visible.slice(drawn, drawn + n).map(row));
        drawn = Math.min(visible.length, drawn + n);
        count.textContent = `${digits(drawn)} of ${plural(visible.length, 'row')}` +
            (visible.length < rows.length ? `, of ${digits(rows.length)} in all` : '');
        further.hidden = drawn === visible.length;
        further.textContent = `Show ${digits(Math.min(5 * PORTION, visible.length - drawn))} more`;
    }
    function refresh() {
        visible = test ? sorted.filter(test) : sorted;
        drawn = 0;
        body.replaceChildren();
        append(PORTION);
    }
    // What has no number comes last.
    function order() {
        const get = key < 0 ? none : columns[key].order || columns[key].get;
        const keys = rows.map(get), at = rows.map((_, k) => k);
        const missing = x => !has(x) || Number.isNaN(x);
        at.sort((a, b) => missing(keys[a]) || missing(keys[b])
            ? missing(keys[a]) - missing(keys[b]) || a - b
            : keys[a] < keys[b] ? -direction : keys[a] > keys[b] ? direction : a - b);
        sorted = at.map(k => rows[k]);
        heads.forEach((head, k) => head.setAttribute('aria-sort', k !== key ? 'none'
            : direction > 0 ? 'ascending' : 'descending'));
        refresh();
    }
    const heads = columns.map((column, k) => make(
        'th', {scope: 'col', title: column.title, class: column.text ? 'text' : null},
        button(column.label, () => {
            direction = k === key ? -direction : column.text ? 1 : -1;
            key = k;
            order();
        })));
    const legend = columns.filter(c => c.title);
    order();
    return {
        element: make('div', {class: more ? 'table named' : 'table'},
            make('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label},
                 make('table', null, make('thead', null, make('tr', null, heads)), body)),
            make('p', {class: 'below'}, count, further),
            legend.length > 0 && make('details', {class: 'legend'},
                make('summary', null, 'What the columns mean'),
                facts(legend.map(c => [c.label, c.title])))),
        filter: next => { test = next; refresh(); },
        // That row alone, unfolded.
        reveal: i => {
            test = k => k === i;
            refresh();
            const name = body.querySelector('button.name');
            name.click();
            name.focus();
        },
    };
}

// A box to type words in that all have to be in a row's text; changed(test) is told.
function filterBox(text, changed) {
    const cache = new Map();
    const lower = i => {
        if (!cache.has(i)) cache.set(i, text(i).toLowerCase());
        return cache.get(i);
    };
    const apply = () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        changed(words.length ? i => words.every(word => lower(i).includes(word)) : null);
    };
    const input = make('input', {type: 'search', oninput: apply, spellcheck: 'false',
                                 autocomplete: 'off', placeholder: 'words in any column'});
    return {
        element: make('label', {class: 'choice filter'}, make('span', null, 'Filter'), input),
        say: words => { input.value = words; },
    };
}

// ---- trees ----

// value -> its rows, as they come; rows without one are in none.
function byValue(rows, value) {
    const found = new Map();
    for (const i of rows) {
        const v = value(i);
        if (!has(v)) continue;
        const list = found.get(v);
        if (list) list.push(i); else found.set(v, [i]);
    }
    return found;
}

// path -> rows as nodes {name, rows, children: Map} below one another, by the parts of the paths.
function grow(found) {
    const root = {name: '', rows: [], children: new Map()};
    for (const [path, rows] of found) {
        let node = root;
        for (const name of String(path).split('.')) {
            if (!node.children.has(name))
                node.children.set(name, {name, rows: [], children: new Map()});
            node = node.children.get(name);
            for (const i of rows) node.rows.push(i);
        }
    }
    return root;
}

// line(node): what stands beside a node's name. Nodes are made when they are unfolded; one that
// has a single child is one line with it. choose(node): of those that unfold no further.
function tree({label, root, line, sorted, choose}) {
    function item(node) {
        let name = node.name;
        while (node.children.size === 1) {
            [node] = node.children.values();
            name += '.' + node.name;
        }
        const cells = line(node);
        if (!node.children.size)
            return make('li', null, make('div', {class: 'line'}, button(
                pathText(name), () => choose(node), {class: 'name'}), cells));
        const list = make('ul'), fill = () => {
            if (!list.firstChild) list.append(...items(node));
        };
        const details = make('details', {ontoggle: () => {
            if (details.open) fill();
        }}, make('summary', {class: 'line'}, make('span', {class: 'name'}, pathText(name)), cells),
            list);
        fillers.set(details, fill);
        return make('li', null, details);
    }
    const fillers = new WeakMap();
    const items = node => sorted([...node.children.values()]).map(item);
    const list = make('ul', {class: 'tree', 'aria-label': label}, items(root));
    const lines = () => list.querySelectorAll('.line').length;
    // One level more at each press.
    const unfold = () => {
        const closed = [...list.querySelectorAll('details:not([open])')].filter(
            details => !details.parentElement.closest('details:not([open])'));
        for (const details of closed) {
            fillers.get(details)();
            details.open = true;
        }
        return closed.length;
    };
    while (lines() < 8 && unfold());
    const fold = () => list.querySelectorAll('details').forEach(d => { d.open = false; });
    return make('div', null, make('p', {class: 'controls'}, button('Unfold a level', unfold),
                                  button('Fold all', fold)), list);
}

function bar(part, kind) {
    return make('span', {class: 'bar ' + (kind || ''), 'aria-hidden': 'true',
        style: {'--part': (100 * Math.max(0, Math.min(1, part || 0))).toFixed(2) + '%'}});
}

// ---- plots ----

// Drawn for the width there is, and again when that changes: text keeps its size.
function figure(draw) {
    const box = make('div', {class: 'figure'});
    let width = 0;
    const redraw = () => { if (width) box.replaceChildren(...[draw(width, box)].flat()); };
    new ResizeObserver(() => {
        if (Math.abs(box.clientWidth - width) < 2) return;
        width = box.clientWidth;
        redraw();
    }).observe(box);
    return {element: box, redraw};
}

// Whole powers of ten around values above 0.
function decades(list) {
    let low = Infinity, high = -Infinity;
    for (const x of list) {
        if (!(x > 0) || !Number.isFinite(x)) continue;
        low = Math.min(low, x);
        high = Math.max(high, x);
    }
    if (!(low <= high)) return [0, 1];
    low = Math.floor(Math.log10(low));
    return [low, Math.max(low + 1, Math.ceil(Math.log10(high)))];
}

function powerText(exponent) {
    if (exponent >= -2 && exponent <= 4) return String(Number('1e' + exponent));
    return '1e' + exponent;
}

// A frame with a logarithmic axis up (exponents of ten) and one across, logarithmic or of rows.
function frame({width, height, label, x, y}) {
    const left = 58, right = 18, top = 14, bottom = 42;
    const w = width - left - right, h = height - top - bottom;
    const svg = make('svg', {width, height, viewBox: `0 0 ${width} ${height}`, class: 'plot',
                             tabindex: 0, role: 'application', 'aria-label': label});
    const share = (value, axis) => (value - axis[0]) / (axis[1] - axis[0] || 1);
    const across = v => left + w * share(x.log ? Math.log10(v) : v, x.range);
    const up = v => top + h * (1 - Math.max(0, Math.min(1, share(Math.log10(v), y.range))));
    const line = (x1, y1, x2, y2) => make('line', {x1, y1, x2, y2, class: 'grid'});
    const text = (at, below, anchor, what, kind) => make(
        'text', {x: at, y: below, 'text-anchor': anchor, class: kind}, what);
    const every = axis => Math.max(1, Math.ceil((axis[1] - axis[0]) / 8));
    for (let e = y.range[0]; e <= y.range[1]; e += every(y.range)) {
        const at = top + h * (1 - share(e, y.range));
        svg.append(line(left, at, width - right, at), text(left - 6, at + 4, 'end', powerText(e)));
    }
    if (x.log)
        for (let e = x.range[0]; e <= x.range[1]; e += every(x.range)) {
            const at = left + w * share(e, x.range);
            svg.append(line(at, top, at, height - bottom),
                       text(at, height - bottom + 16, 'middle', powerText(e)));
        }
    svg.append(make('path', {class: 'axis', d: `M${left} ${top}V${top + h}H${left + w}`}),
               text(left + w / 2, height - 6, 'middle', x.label, 'label'),
               make('text', {class: 'label', 'text-anchor': 'middle',
                             transform: `translate(13 ${top + h / 2}) rotate(-90)`}, y.label));
    return {svg, across, up, left, top, w, h};
}

// Neighbours in the model's order with the first part of their path in common, or the first two
// where that is the same for all: [text, from, to].
function stretches(names) {
    const paths = names.map(name => String(name).split('.'));
    const depth = paths.every(path => path[0] === paths[0][0]) ? 2 : 1, list = [];
    paths.forEach((path, k) => {
        const text = path.slice(0, depth).join('.'), last = list.at(-1);
        if (last && last[0] === text) last[2] = k + 1;
        else list.push([text, k, k + 1]);
    });
    return list;
}

// Points {x, y, text: [lines], choose} that the pointer finds, or the arrow keys in their order;
// row: how many points one press of up or down is.
function pointing(box, svg, points, row = 10) {
    const ring = make('circle', {class: 'ring', r: 8, visibility: 'hidden'});
    const tip = make('div', {class: 'tip', role: 'status', hidden: true});
    let at = -1;
    const hide = () => { tip.hidden = true; ring.setAttribute('visibility', 'hidden'); };
    function show(i) {
        const point = points[at = i];
        ring.setAttribute('cx', point.x);
        ring.setAttribute('cy', point.y);
        ring.setAttribute('visibility', 'visible');
        tip.replaceChildren(...point.text().map(
            (line, k) => make(k ? 'div' : 'strong', null, k ? line : pathText(line))));
        tip.hidden = false;
        const left = Math.min(point.x + 14, box.clientWidth - tip.offsetWidth - 4);
        const over = point.y - tip.offsetHeight - 14;
        tip.style.left = Math.max(4, left) + 'px';
        tip.style.top = (over < 0 ? point.y + 14 : over) + 'px';
    }
    function nearest(event) {
        const frame = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / frame.width;
        const x = (event.clientX - frame.left) * scale, y = (event.clientY - frame.top) * scale;
        let best = -1, least = 30 * 30;
        points.forEach((p, i) => {
            const far = (p.x - x) ** 2 + (p.y - y) ** 2;
            if (far < least) { least = far; best = i; }
        });
        return best;
    }
    const moves = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row,
                   Home: -Infinity, End: Infinity};
    svg.addEventListener('pointermove', event => {
        const i = nearest(event);
        if (i >= 0) show(i); else hide();
    });
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('click', event => {
        const i = nearest(event);
        if (i >= 0 && points[i].choose) points[i].choose();
    });
    svg.addEventListener('focus', () => {
        if (points.length && svg.matches(':focus-visible')) show(Math.max(0, at));
    });
    svg.addEventListener('blur', hide);
    svg.addEventListener('keydown', event => {
        if (event.key === 'Escape') hide();
        if (event.key === 'Enter' && at >= 0 && points[at].choose) {
            event.preventDefault(); // of what has the focus then
            points[at].choose();
        }
        if (!(event.key in moves) || !points.length) return;
        event.preventDefault();
        show(Math.max(0, Math.min(points.length - 1, at + moves[event.key])));
    });
    svg.append(ring);
    return tip;
}

// Marks are told apart by their shape as well as by their colour.
const SHAPES = [
    (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
    (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    (x, y, r) => `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z`,
    (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}` +
                 `l${-1.4 * r} ${-1.4 * r}z`,
    (x, y, r) => `M${x} ${y + 1.2 * r}l${1.2 * r} ${-2.1 * r}h${-2.4 * r}z`,
    (x, y, r) => `M${x - r} ${y - r / 2}h${r / 2}v${-r / 2}h${r}v${r / 2}h${r / 2}v${r}h${-r / 2}` +
                 `v${r / 2}h${-r}v${-r / 2}h${-r / 2}z`,
    (x, y, r) => `M${x - 1.4 * r} ${y - r / 2}h${2.8 * r}v${r}h${-2.8 * r}z`,
    (x, y, r) => `M${x - r / 2} ${y - 1.4 * r}h${r}v${2.8 * r}h${-r}z`,
];
const SPOTS = SHAPES.length;
const spot = (kind, x, y, r) =>
    SHAPES[kind](Number(x.toFixed(1)), Number(y.toFixed(1)), Number(r.toFixed(1)));

// ---- the page ----

// Title, what it comes to, the sections and where to find them.
function page(title, ...children) {
    const themes = [['light dark', 'as the system'], ['light', 'light'], ['dark', 'dark']];
    const theme = choice('Colours', themes, value => {
        document.documentElement.style.colorScheme = value;
    });
    const [head, ...sections] = children.flat().filter(Boolean);
    const notes = data.notes && data.notes.length > 0 &&
        make('aside', {class: 'notes', 'aria-label': 'Notes'}, make('ul', null, data.notes.map(
            note => make('li', null, note))));
    const nav = make('nav', {'aria-label': 'Sections'}), main = document.querySelector('main');
    main.append(
        make('header', null, make('div', {class: 'top'}, make('h1', null, title), theme), head,
             notes,
             nav),
        ...sections,
        make('footer', null, data.tintype ? `tintype ${data.tintype}` : 'tintype',
             '; this file loads nothing and sends nothing.'));
    nav.append(...[...main.querySelectorAll('section')].map(
        s => make('a', {href: '#' + s.id}, s.querySelector('h2').textContent)));
}
