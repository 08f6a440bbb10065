// SPDX-License-Identifier: MIT
// The page of `tintype verify --html`.

// Calls of parts: {part: what is told of it, at, base: its first row, rows}.
const told = data.parts || [];
const compared = unpack(told.map(part => part.tensors));
const {get, all, rows: count} = compared;
const calls = compared.tables.map((table, at) => ({...table, at, part: told[at]}));
const callOf = i => calls[compared.of(i)];
const {name, difference, limit, agrees} = get;

// How many times its limit a tensor takes: more than 1, and it differs; what is not finite takes
// infinitely many.
function ratio(i) {
    const times = get.times(i);
    if (has(times)) return times;
    return agrees(i) === false || !has(difference(i)) ? Infinity : 0;
}
const ratios = Float64Array.from(all, ratio);
const differs = i => agrees(i) === false;
const differing = all.filter(differs).length;

const callsOf = byValue(calls, call => call.part.part);

function callText(call) {
    const {part, call: k, step} = call.part;
    if (callsOf.get(part).length === 1) return part;
    return `${part}${has(k) ? ` call ${k}` : ''}${has(step) ? `, step ${step}` : ''}`;
}

function findRow(told) {
    if (!told) return -1;
    const call = calls.find(c => c.part.part === told.part &&
                                 (!has(told.call) || !has(c.part.call) ||
                                  c.part.call === told.call));
    if (!call) return -1;
    for (let i = call.base; i < call.base + call.rows; i++) if (name(i) === told.name) return i;
    return -1;
}

// ---- the verdict ----

const okText = good => make('span', {class: good ? 'good' : 'bad'},
                            good ? '✓ agrees' : '✗ differs');

function firstToDiffer() {
    let told = data.first, i = findRow(told);
    if (!told && differing) {
        i = all.find(differs);
        told = {part: callOf(i).part.part, name: name(i)};
    }
    if (!told) return null;
    const call = i >= 0 ? callOf(i) : null;
    return make('div', {class: 'first'}, make('strong', null, 'FIRST TO DIFFER '),
        i >= 0 ? button(pathText(told.name), () => showRow(i), {class: 'name'})
               : make('span', null, pathText(told.name)),
        make('span', null, call ? callText(call) : told.part),
        i >= 0 && make('span', null, `${differenceText(i)}, ${timesText(ratios[i])} its limit`));
}

// "DIFFERS: the rest", "agrees: ...", "not comparable: ...": the word, the rest.
function verdict() {
    const found = /^(DIFFERS|agrees|not comparable): (.*)$/s.exec(data.verdict || '');
    if (found) return [found[1].toUpperCase(), found[2]];
    return [data.agrees ? 'AGREES' : 'DIFFERS', has(data.verdict) ? data.verdict
        : `${differing} of ${plural(count, 'tensor')} past the tolerance`];
}

const differenceText = i => has(difference(i)) ? `off by ${digits(difference(i), 3)}`
                                               : 'not a number';
const timesText = x => x === Infinity ? '∞ times' : `${digits(x, 3)} times`;

// What each call is held against: "3 × err32, 10 × err32", or "f16", or rtol and atol.
function toleranceText() {
    const {rtol, atol} = data.tolerance || {};
    if (has(rtol) || has(atol)) return `rtol ${digits(rtol, 3)}, atol ${digits(atol, 3)}`;
    return [...byValue(told, ({tolerance, factor}) => has(factor)
        ? `${Number(factor.toPrecision(3))} × ${tolerance}` : tolerance).keys()].join(', ');
}

function heading() {
    const good = data.agrees, [word, rest] = verdict();
    const absent = calls.flatMap(c => c.part.not_in_model || []).length;
    const extra = calls.flatMap(c => c.part.not_recorded || []).length;
    return make('div', null,
        make('p', {class: `verdict ${good ? 'good' : 'bad'}`},
             make('strong', null, `${good ? '✓' : '✗'} ${word}`), ' ', rest),
        firstToDiffer(),
        facts([['model', data.model], ['recording', data.recording], ['mode', data.mode],
               ['tolerance', toleranceText()], ['recorded in', data.precision],
               ['recorded whole', data.whole === true ? 'yes' : data.whole === false ? 'no' : null],
               ['convolutions', data.conv], ['calls', calls.length || null],
               ['compared', digits(count)], ['differ', digits(differing)],
               ['not in the model', absent || null], ['not recorded', extra || null]]));
}

// ---- lists ----

// What is at fault, made alone; what explains it.
function suspects() {
    const faults = byValue(data.suspects || [], s => `${s.part}\n${s.call}\n${s.name}`);
    if (!faults.size) return null;
    return section('suspects', 'At fault', make('ul', {class: 'cards'}, [...faults.values()].map(
        list => {
            const [fault] = list, i = findRow(fault), call = i >= 0 ? callOf(i) : null;
            return make('li', null,
                make('div', null, i >= 0
                    ? button(pathText(fault.name), () => showRow(i), {class: 'name'})
                    : make('strong', null, pathText(fault.name)),
                    ` ${has(fault.type) ? `(${fault.type}), ` : ''}${
                        call ? callText(call) : fault.part}`),
                list.map(s => make('div', null, make('strong', null, s.suspect), ': ', s.text,
                    has(s.left) && s.suspect !== 'unknown' && ` (${digits(s.left, 3)} is left)`)),
                facts([['off by, when made alone', has(fault.difference)
                           ? digits(fault.difference, 3) : null],
                       ['made by', fault.made_by],
                       ['the smallest module around it', fault.module &&
                           pathText(fault.module)]]));
        })));
}

function worst() {
    const told = (data.worst || []).map(findRow).filter(i => i >= 0);
    const rows = told.length ? told : [...all].sort((a, b) => (ratios[b] > ratios[a]) -
                                                     (ratios[b] < ratios[a])).slice(0, 10);
    if (!rows.length) return null;
    const wanted = new Set(['name', 'ratio', 'difference', 'limit', 'call', 'relative_l2']);
    return section('worst', 'The ten worst', table({
        label: 'The ten worst', rows, more: tensorFacts, mark: rowMark,
        columns: tensorColumns().filter(c => wanted.has(c.key)).map(c => ({...c, title: null})),
        sort: [1, -1],
    }).element);
}

function weights() {
    const told = data.weights;
    if (!told) return null;
    const list = told.differing || [], keys = [...new Set(list.flatMap(w => Object.keys(w)))];
    const number = n => Array.isArray(n) ? n.length : n;
    const showValue = v => !has(v) ? '–' : typeof v === 'number' ? digits(v)
        : typeof v === 'object' ? JSON.stringify(v) : v;
    const bad = number(told.differ) > 0;
    return section('weights', 'Weights',
        make('p', null, okText(!bad), ` ${plural(number(told.compared) || 0, 'weight')} compared, `,
             `${digits(number(told.differ) || 0)} differ, ${digits(number(told.missing) || 0)} `,
             `missing, ${digits(number(told.unrecorded) || 0)} not recorded`),
        list.length > 0 && table({label: 'Weights that differ', rows: list,
            columns: keys.sort((a, b) => (b === 'name') - (a === 'name')).map(key => ({
                label: key.replaceAll('_', ' '), get: w => Array.isArray(w[key])
                    ? JSON.stringify(w[key]) : w[key],
                text: list.some(w => typeof w[key] !== 'number'),
                show: key === 'shape' ? shapeText : showValue})),
            sort: [0, 1]}).element);
}

// The picture drawn again: latents after each step, and what came of them.
function pipeline() {
    const rows = data.pipeline || [];
    if (!rows.length) return null;
    const most = Math.max(...rows.map(r => r.relative_l2 || 0)) || 1;
    return section('pipeline', 'The picture, drawn again', table({
        label: 'The picture, drawn again', rows, mark: r => r.agrees ? null : 'off',
        columns: [
            {label: 'tensor', text: true, get: r => r.name},
            {label: 'step', get: r => r.step, order: r => has(r.step) ? r.step : Infinity},
            {label: 'relative L2', get: r => has(r.relative_l2) ? r.relative_l2 : Infinity,
             element: r => make('span', {class: 'share'},
                 bar(r.relative_l2 / most, r.agrees ? '' : 'off'),
                 has(r.relative_l2) ? digits(r.relative_l2, 3) : 'NaN')},
            {label: 'limit', get: r => r.limit, show: v => digits(v, 3)},
            {label: 'verdict', text: true, get: r => r.agrees ? 1 : 0,
             element: r => okText(r.agrees)},
        ]}).element);
}

// ---- the error over the model's order ----

const metrics = {
    ratio: ['times its limit', i => ratios[i], () => 1],
    difference: ['largest difference', difference, limit],
    relative_l2: ['relative L2', get.relative_l2, null],
};

// Rows of one call in order, as marks; the tolerance as a line.
function errorPlot(state) {
    const plot = figure((width, box) => {
        const call = calls[state.call], [label, value, most] = metrics[state.metric];
        const rows = all.slice(call.base, call.base + call.rows);
        const range = decades([...rows.map(value), ...(most ? rows.map(most) : [])]);
        range[0] = Math.max(range[0], range[1] - 14);
        const axes = frame({width, height: Math.max(260, Math.min(380, 0.5 * width)),
            label: `${label} of each tensor of ${callText(call)} in the model's order. Left and ` +
                'right go through them, Enter shows one in the table.',
            x: {label: 'the model\'s order', range: [-0.5, rows.length - 0.5]},
            y: {label, range}});
        const {svg, across, up} = axes, good = [], bad = [], points = [];
        let line = '';
        rows.forEach((i, k) => {
            const v = value(i), x = across(k), infinite = !has(v) || v === Infinity;
            const y = infinite ? axes.top : up(Math.max(v, 10 ** range[0]));
            (differs(i) ? bad : good).push(spot(differs(i) ? 3 : 0, x, y, differs(i) ? 3.2 : 2));
            if (most) {
                const at = up(Math.max(most(i), 10 ** range[0])).toFixed(1);
                line += `${k ? 'L' : 'M'}${x.toFixed(1)} ${at}`;
            }
            points.push({x, y, choose: () => showRow(i), text: () => [
                name(i), differs(i) ? '✗ differs' : '✓ agrees',
                `${differenceText(i)}, limit ${digits(limit(i), 3)}`,
                `${timesText(ratios[i])} the limit`]});
        });
        for (const [text, from, to] of stretches(rows.map(name))) {
            const at = across(from - 0.5), wide = across(to - 0.5) - at;
            add(svg, make('line', {class: 'grid', x1: at, x2: at, y1: axes.top,
                                   y2: axes.top + axes.h}),
                wide > 7 * text.length + 8 && make('text', {x: at + 3, class: 'label',
                    y: axes.top + axes.h + 15}, text));
        }
        svg.append(make('path', {class: 'roof', d: line}),
                   make('path', {class: 'spot fine', d: good.join('')}),
                   make('path', {class: 'spot off', d: bad.join('')}));
        return [svg, pointing(box, svg, points, 20)];
    });
    return plot;
}

// ---- calls beside one another ----

// Levels by the ratio, the last four past the limit.
const LEVELS = [0.01, 0.1, 0.5, 1, 10, 100, 1e4, Infinity];
const levelTexts = ['≤ 1/100', '≤ 1/10', '≤ 1/2', '≤ the limit', '≤ 10 times', '≤ 100', '≤ 10,000',
                    'more, NaN'];
const level = r => { const k = LEVELS.findIndex(most => r <= most); return k < 0 ? 7 : k; };

// The calls of one part as columns, its modules as rows, so many together that they fit.
function heatMap(partCalls, state, choose) {
    const most = Math.max(...partCalls.map(c => c.rows));
    const whole = partCalls.find(c => c.rows === most);
    const longest = all.slice(whole.base, whole.base + most).map(name);
    return figure((width, box) => {
        const left = 88, top = 8, bottom = 40, lines = Math.min(most, 120);
        const each = Math.max(3, Math.min(8, 420 / lines)), height = top + bottom + each * lines;
        const down = each * lines / most;
        const across = Math.min(48, (width - left - 4) / partCalls.length);
        const svg = make('svg', {width, height, viewBox: `0 0 ${width} ${height}`, class: 'plot',
            tabindex: 0, role: 'application', 'aria-label': `Calls of ${partCalls[0].part.part} ` +
                'beside one another. The arrow keys go through them, Enter chooses a call.'});
        const paths = new Array(LEVELS.length).fill(''), points = [];
        let dots = '';
        for (let line = 0; line < lines; line++)
            partCalls.forEach((call, k) => {
                const from = Math.floor(line * call.rows / lines);
                const to = Math.max(from + 1, Math.floor((line + 1) * call.rows / lines));
                let top_row = call.base + from;
                for (let i = call.base + from; i < call.base + Math.min(to, call.rows); i++)
                    if (ratios[i] > ratios[top_row]) top_row = i;
                const x = left + k * across, y = top + line * each, kind = level(ratios[top_row]);
                paths[kind] += `M${x.toFixed(1)} ${y.toFixed(1)}h${(across - 0.6).toFixed(1)}` +
                    `v${(each - 0.4).toFixed(1)}h${(0.6 - across).toFixed(1)}z`;
                if (kind > 3)
                    dots += spot(3, x + across / 2, y + each / 2, Math.min(1.2, each / 3));
                points.push({x: x + across / 2, y: y + each / 2, choose: () => choose(call),
                    text: () => [name(top_row), callText(call),
                                 `${timesText(ratios[top_row])} the limit` +
                                 (to - from > 1 ? `: the most of ${to - from} tensors` : '')]});
            });
        paths.forEach((d, k) => d && svg.append(make('path', {class: `level l${k}`, d})));
        svg.append(make('path', {class: 'flag', d: dots}));
        const every = Math.ceil(partCalls.length / (width / 40));
        partCalls.forEach((call, k) => {
            if (k % every) return;
            svg.append(make('text', {x: left + (k + 0.5) * across, y: height - bottom + 16,
                'text-anchor': 'middle'}, has(call.part.step) ? call.part.step : call.part.call));
        });
        const text = (x, y, anchor, what) => make('text', {class: 'label', x, y,
                                                           'text-anchor': anchor}, what);
        add(svg, text(left, height - 6, 'start',
                        has(partCalls[0].part.step) ? 'step' : 'call'),
                   stretches(longest).filter(([, from, to]) => (to - from) * down >= 11).map(
                       ([what, from, to]) => [
                           text(left - 6, top + from * down + 10, 'end', what.slice(-13)),
                           make('line', {class: 'grid', x1: 0, x2: left - 2,
                                         y1: top + from * down, y2: top + from * down})]));
        return [svg, pointing(box, svg, points, partCalls.length)];
    });
}

function errors() {
    if (!count) return null;
    const start = calls.find(c => c.part.differ > 0) || calls[0];
    const state = {call: start.at, metric: 'ratio'}, plot = errorPlot(state);
    const which = choice('Call', calls.map(c => [c.at, `${callText(c)}${
        c.part.differ ? `: ${c.part.differ} differ` : ''}`]), value => {
        state.call = Number(value);
        plot.redraw();
    });
    which.querySelector('select').value = state.call;
    const choose = call => {
        which.querySelector('select').value = state.call = call.at;
        plot.redraw();
    };
    const parts = [...callsOf.values()].filter(list => list.length > 1);
    const legend = make('div', {class: 'keys'}, levelTexts.map((text, k) => make('span', null,
        make('svg', {width: 16, height: 16, 'aria-hidden': 'true'},
             make('path', {class: `level l${k}`, d: 'M1 1h14v14h-14z'}),
             k > 3 && make('path', {class: 'flag', d: spot(3, 8, 8, 2.5)})), text)));
    const shows = Object.entries(metrics).map(([key, [text]]) => [key, text]).filter(
        ([key]) => key === 'ratio' || compared.keys.includes(key));
    return [section('errors', 'Error over the model', make('p', {class: 'controls'},
            calls.length > 1 && which,
            choice('Show', shows, value => { state.metric = value; plot.redraw(); })),
        plot.element, make('p', {class: 'small'}, 'Round marks agree, diamonds differ; the line ',
                           'is the tolerance. What is no number is at the top.')),
        parts.length > 0 && section('steps', 'Modules over steps', make('p', {class: 'small'},
            'Each column is a call, from the first module at the top to the last; colours tell ',
            'the worst error beside its limit. A column chosen is drawn above.'), legend,
            parts.map(list => [make('h3', null, list[0].part.part),
                               heatMap(list, state, choose).element]))];
}

// ---- modules and tensors ----

function moduleTree() {
    if (!count) return null;
    const root = grow([...byValue(all, i => callOf(i).part.part)].flatMap(
        ([part, rows]) => [...byValue(rows, name)].map(
            ([path, of]) => [`${part}.${path}`.replace(/\.in$/, ''), of])));
    const worstOf = node => node.rows.reduce((a, i) => Math.max(a, ratios[i]), 0);
    return section('modules', 'Modules', tree({
        label: 'Modules', root, sorted: list => list,
        line: node => {
            const off = node.rows.filter(differs).length, most = worstOf(node);
            // From a thousandth of the limit to a thousand times.
            const part = most > 0 ? (Math.log10(most) + 3) / 6 : 0;
            return [bar(part, off ? 'off' : ''), make('span', {class: 'number'},
                        most === Infinity ? '∞' : `${digits(most, 3)}×`),
                    make('span', {class: `number count ${off ? 'bad' : 'good'}`},
                         off ? ['✗ ', digits(off), make('span', {class: 'wide'},
                                ` of ${digits(node.rows.length)}`)] : '✓')];
        },
        choose: node => showRow(node.rows.find(differs) ?? node.rows[0]),
    }));
}

function tensorColumns() {
    const list = [
        {key: 'name', label: 'tensor', text: true, get: name},
        {key: 'ratio', label: 'times', get: i => ratios[i],
         element: i => make('span', {class: differs(i) ? 'bad' : 'good'},
                            `${differs(i) ? '✗' : '✓'} ${digits(ratios[i], 3)}`),
         title: 'how many times its limit the tensor takes: past 1 (✗) it differs'},
        {key: 'difference', label: 'difference', show: v => has(v) ? digits(v, 3) : 'NaN',
         order: i => has(difference(i)) ? difference(i) : Infinity,
         title: 'the largest of all elements'},
        {key: 'limit', label: 'limit', show: v => digits(v, 3),
         title: 'how much this tensor may be off'},
        {key: 'call', label: 'call', text: true, order: compared.of,
         get: i => callText(callOf(i)), show: v => v},
        {key: 'relative_l2', label: 'relative L2', show: v => digits(v, 3),
         title: 'norm of the difference by that of what is recorded'},
        {key: 'err32', label: 'err32', show: v => digits(v, 3),
         title: 'the recording\'s own error against double precision'},
        {key: 'limit_l2', label: 'L2 limit', show: v => digits(v, 3),
         title: 'how large the relative L2 may be'},
        {key: 'what', label: 'which', text: true, show: v => has(v) ? v : '–',
         title: 'of recorded statistics, which is farthest off'},
        {key: 'type', label: 'type', text: true, show: v => has(v) ? v : '–'},
        {key: 'shape', label: 'shape', text: true, show: shapeText},
    ];
    return list.map(c => ({get: get[c.key], ...c})).filter(
        c => c.key === 'ratio' || c.key === 'call' || compared.keys.includes(c.key));
}

const rowMark = i => differs(i) ? 'off' : null;

// How many elements are off by each power of ten: the first column is of those below 1e-12.
function histogram(text) {
    const counts = JSON.parse(text), most = Math.max(...counts, 1);
    const from = k => k ? `from 1e${k - 13}` : 'below 1e-12';
    return make('div', {class: 'decades'}, make('div', {class: 'small'},
        'elements by the decade of their difference: below 1e-12, from there to 1e3, above'),
        make('div', {class: 'columns', role: 'img', 'aria-label': counts.join(', ')},
             counts.map((n, k) => make('span', {title: `${from(k)}: ${digits(n)}`, style: {
                 '--part': `${n ? 8 + 92 * Math.log1p(n) / Math.log1p(most) : 0}%`}}))));
}

// All that is known of one.
function tensorFacts(i) {
    const call = callOf(i), said = new Set(['name', 'decades']);
    const decadesText = get.decades(i);
    const known = compared.keys.filter(key => !said.has(key)).map(key => {
        const value = get[key](i);
        return [key.replaceAll('_', ' '), key === 'shape' ? shapeText(value)
            : key === 'ours' || key === 'recorded' || key === 'cosine' ? value
            : typeof value === 'number' ? digits(value) : has(value) ? String(value) : null];
    });
    const cut = has(data.detailed) && differs(i) && !has(get.ours(i)) && !has(get.at(i));
    return make('div', null, facts([['file', call.part.file], ...known]),
                decadesText && histogram(decadesText),
                cut && make('p', {class: 'small'}, `Only ${digits(data.detailed)} tensors come ` +
                            'with more than this: see --json.'));
}

// The table of all tensors, with what leaves some out.
function tensors() {
    const whole = table({label: 'Tensors', columns: tensorColumns(), rows: all, more: tensorFacts,
                         mark: rowMark, sort: [1, -1]});
    let words = null;
    const apply = () => whole.filter(only.checked || words
        ? i => (!only.checked || differs(i)) && (!words || words(i)) : null);
    const only = make('input', {type: 'checkbox', onchange: apply});
    const filter = filterBox(i => `${name(i)} ${get.type(i) || ''} ${callText(callOf(i))}`,
                             test => { words = test; apply(); });
    const leftOut = calls.filter(c => (c.part.not_in_model || []).length ||
                                      (c.part.not_recorded || []).length);
    showRow = i => {
        document.getElementById('tensors').scrollIntoView();
        only.checked = false;
        filter.say(name(i));
        whole.reveal(i);
    };
    return [section('tensors', 'Tensors', make('p', {class: 'controls'}, filter.element,
                make('label', {class: 'choice'}, only, make('span', null, 'only differing'))),
            whole.element),
        leftOut.length > 0 && section('missing', 'Not compared', leftOut.map(c => make('div', null,
            make('h3', null, callText(c)),
            nameList('recorded, but not in the model', c.part.not_in_model),
            nameList('in the model, but not recorded', c.part.not_recorded))))];
}

function nameList(label, names) {
    if (!names || !names.length) return null;
    const list = make('ul'), details = make('details', {ontoggle: () => {
        if (!list.firstChild) list.append(...names.map(n => make('li', null, pathText(n))));
    }}, make('summary', null, `${digits(names.length)} ${label}`), list);
    return details;
}

let showRow = () => {};
const tensorSections = count ? tensors() : [];
page('Verification', heading(), suspects(), weights(), errors(), worst(), pipeline(),
     moduleTree(),
     tensorSections);
