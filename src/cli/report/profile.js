// SPDX-License-Identifier: MIT
// The page of `tintype profile --html`.

const nodes = unpack(data.nodes);
const get = nodes.get;
const all = nodes.all;
// A node's time in one run: of all its calls.
const calls = i => get.calls(i) ?? 1;
const spent = i => calls(i) * (get.ms(i) || 0);
const total = sum(all, spent);
const mainOps = new Map();
const mainOp = i => {
    const op = get.op(i);
    if (!mainOps.has(op)) mainOps.set(op, String(op).split('+')[0]);
    return mainOps.get(op);
};

function sum(rows, value) {
    let s = 0;
    for (const i of rows) s += value(i) || 0;
    return s;
}

// Sums over rows, as shares of the whole and as rates.
function summed(rows) {
    const ms = sum(rows, spent), flop = sum(rows, i => calls(i) * (get.flop(i) || 0));
    const bytes = sum(rows, i => calls(i) * (get.bytes(i) || 0));
    return {rows, ms, flop, bytes, share: total ? ms / total : 0,
            gflops: ms ? flop / ms / 1e6 : null, gb: ms ? bytes / ms / 1e6 : null};
}

// [name, sums] of the values of a key, the longest time first, or as they come.
function groups(rows, value, asTheyCome) {
    const list = [...byValue(rows, value)].map(([name, of]) => [name, summed(of)]);
    return asTheyCome ? list : list.sort((a, b) => b[1].ms - a[1].ms);
}

const ops = groups(all, mainOp).map(([name]) => name);
const kind = i => Math.min(SPOTS - 1, ops.indexOf(mainOp(i)));
const kindName = k => k === SPOTS - 1 && ops.length > SPOTS ? 'others' : ops[k];
const showRow = i => {
    document.getElementById('nodes').scrollIntoView();
    filter.say(get.name(i));
    nodeTable.reveal(i);
};

// ---- what was run ----

function spread(list) {
    const sorted = [...list].sort((a, b) => a - b);
    return sorted.length > 1
        ? `${milliseconds(1000 * sorted[0])} to ${milliseconds(1000 * sorted.at(-1))}` : null;
}

function heading() {
    const roof = data.roof || {}, seconds = data.seconds || [];
    const ms = has(data.median_ms) ? data.median_ms : total;
    const rate = has(data.flop) && total ? data.flop / total / 1e6 : null;
    const big = (text, what) => make('div', null, make('strong', null, text), make('span', null,
                                                                                  what));
    return make('div', null,
        make('div', {class: 'figures'},
            big(milliseconds(ms), seconds.length > 1 ? `median of ${seconds.length} runs` : 'run'),
            big(milliseconds(total), 'in nodes'),
            has(rate) && big(prefixed(rate * 1e9, 'FLOP/s'),
                             `in nodes, for ${prefixed(data.flop, 'FLOP')}`),
            has(data.share_of_roof) && big(percent(data.share_of_roof), 'of the measured roof'),
            has(data.peak_bytes) && big(prefixed(data.peak_bytes, 'B'), 'peak memory')),
        facts([
            ['model', data.model], ['part', data.part],
            ['picture', has(data.width) ? `${data.width}×${data.height}` : null],
            ['batch', data.batch], ['direction', data.train ? 'there and back' : 'forward'],
            ['processor', data.cpu_model], ['instructions', data.cpu], ['threads', data.threads],
            ['precision', data.precision], ['weights', data.weights], ['convolutions', data.conv],
            ['all runs', spread(seconds)],
            ['FLOP, counted directly', has(data.flop_direct) ? prefixed(data.flop_direct, 'FLOP')
                                                             : null],
            ['compulsory traffic', has(data.bytes) ? prefixed(data.bytes, 'B') : null],
            ['activations', has(data.arena_bytes) ? prefixed(data.arena_bytes, 'B') : null],
            ['roof', has(roof.gflops) ? `${prefixed(roof.gflops * 1e9, 'FLOP/s')}, ` +
                `${prefixed(roof.gb_per_s * 1e9, 'B/s')}` : null],
            ['scheduler', data.scheduler], ['steps', data.steps], ['pictures', data.pictures],
            ['machine', data.busy ? 'busy with other work'
                : data.busy === false ? 'quiet' : null],
        ]));
}

// ---- the roofline ----

function dots() {
    const list = groups(all, i => `${get.stage(i)} ${get.name(i)}`, true).map(([, sums]) => ({
        ...sums, first: sums.rows[0], kind: kind(sums.rows[0]), intensity: sums.flop / sums.bytes,
    }));
    return list.filter(dot => dot.flop > 0 && dot.bytes > 0 && dot.ms > 0)
        .sort((a, b) => a.intensity - b.intensity);
}

function roofline() {
    const list = dots();
    if (!list.length)
        return section('roofline', 'Roofline', make('p', null,
            'No node has its arithmetic and its bytes counted, so there is nothing to draw.'));
    const off = new Set(), roof = data.roof || {};
    const has_roof = roof.gflops > 0 && roof.gb_per_s > 0;
    const ridge = has_roof ? roof.gflops / roof.gb_per_s : null;
    const plot = figure((width, box) => {
        const axes = frame({
            width, height: Math.max(280, Math.min(460, 0.6 * width)),
            label: 'Roofline: one mark for each node. Left and right go through them, Enter ' +
                'shows one in the table.',
            x: {log: true, label: 'FLOP per byte',
                range: decades([...list.map(d => d.intensity), ridge])},
            y: {label: 'GFLOP/s', range: decades([...list.map(d => d.gflops), roof.gflops])},
        });
        const {svg, across, up, left, top, w, h} = axes;
        if (has_roof) {
            const at = Math.max(left, Math.min(left + w, across(ridge)));
            const low = 10 ** decades([...list.map(d => d.intensity), ridge])[0];
            const least = 10 ** decades([...list.map(d => d.gflops), roof.gflops])[0];
            const from = Math.max(low, least / roof.gb_per_s);
            svg.append(make('path', {class: 'roof', d: `M${across(from)} ` +
                `${up(from * roof.gb_per_s)}L${at} ${up(roof.gflops)}H${left + w}`}),
                make('text', {class: 'label', x: left + w - 4, y: up(roof.gflops) - 5,
                              'text-anchor': 'end'}, `${digits(roof.gflops, 3)} GFLOP/s`));
            const rise = make('text', {class: 'label', 'text-anchor': 'start', transform:
                `translate(${across(from) + 4} ${up(from * roof.gb_per_s) - 8}) rotate(${
                    (Math.atan2(up(roof.gflops) - up(from * roof.gb_per_s), at - across(from)) *
                     180 / Math.PI).toFixed(1)})`}, `${digits(roof.gb_per_s, 3)} GB/s`);
            svg.append(rise);
        }
        const points = [], paths = new Array(SPOTS).fill('');
        for (const dot of list) {
            if (off.has(dot.kind)) continue;
            const x = across(dot.intensity), y = up(dot.gflops);
            paths[dot.kind] += spot(dot.kind, x, y, 2.2 + 9 * Math.sqrt(dot.share));
            points.push({x, y, choose: () => showRow(dot.first), text: () => [
                get.name(dot.first), get.op(dot.first),
                `${digits(dot.gflops)} GFLOP/s at ${digits(dot.intensity, 3)} FLOP/B`,
                has_roof ? `${percent(dot.gflops / Math.min(
                    roof.gflops, roof.gb_per_s * dot.intensity))} of the roof` : '',
                `${milliseconds(dot.ms)}, ${percent(dot.share)} of the time`].filter(Boolean)});
        }
        paths.forEach((d, k) => d && svg.append(make('path', {class: `spot k${k}`, d})));
        return [svg, pointing(box, svg, points, 10)];
    });
    const present = [...new Set(list.map(dot => dot.kind))].sort((a, b) => a - b);
    const keys = make('div', {class: 'keys', role: 'group', 'aria-label': 'Operations'},
        present.map(k => make('button', {type: 'button', 'aria-pressed': 'true', onclick: event => {
            if (!off.delete(k)) off.add(k);
            event.currentTarget.setAttribute('aria-pressed', String(!off.has(k)));
            plot.redraw();
        }}, make('svg', {width: 16, height: 16, 'aria-hidden': 'true'},
                 make('path', {class: `spot k${k}`, d: spot(k, 8, 8, 5)})),
        kindName(k))));
    const apart = all.filter(i => !(get.flop(i) > 0 && get.bytes(i) > 0));
    return section('roofline', 'Roofline', keys, plot.element, make('p', {class: 'small'},
        'Each mark is a node, larger for more of the time; the line is what this machine ',
        has_roof ? 'was measured to reach. ' : 'reaches, which was not measured. ',
        apart.length > 0 && `Not shown: ${plural(apart.length, 'row')} without arithmetic (` +
            `${milliseconds(sum(apart, spent))}).`));
}

// ---- the time ----

const sumColumns = first => [
    {label: first, text: true, get: g => g[0]},
    {label: 'share', get: g => g[1].share, element: g => make('span', {class: 'share'},
        bar(g[1].share), percent(g[1].share))},
    {label: 'ms', get: g => g[1].ms}, {label: 'GFLOP/s', get: g => g[1].gflops},
    {label: 'GB/s', get: g => g[1].gb}, {label: 'nodes', get: g => g[1].rows.length},
];

// What rows are grouped by, of what is there: [value of choice, text, function of the row].
function ways() {
    const list = [['op', 'operation', mainOp], ['kernel', 'kernel', get.kernel],
                  ['module', 'module', get.module], ['variant', 'variant', get.variant],
                  ['dtype', 'dtype', get.dtype],
                  ['fused', 'operation with what is folded in', get.op],
                  ['bound', 'what binds', get.bound], ['stage', 'stage', get.stage]];
    return list.filter(([, , value]) => has(value(0)));
}

function timeByGroup() {
    const place = make('div'), found = ways();
    const show = name => {
        const [, text, value] = found.find(([key]) => key === name);
        place.replaceChildren(table({label: `Time by ${text}`, columns: sumColumns(text),
            rows: groups(all, value), sort: [2, -1]}).element);
    };
    show('op');
    return section('groups', 'Time by operation', make('p', {class: 'controls'},
        choice('Group by', found, show)), place);
}

function timeByModule() {
    const stages = [...byValue(all, i => get.stage(i) || 'other')];
    const root = grow(stages.flatMap(([stage, rows]) => [...byValue(rows, get.name)].map(
        ([name, of]) => [stages.length > 1 ? `${stage}.${name}` : name, of])));
    const time = node => node.ms ??= sum(node.rows, spent);
    const most = Math.max(...[...root.children.values()].map(time), 0);
    return section('modules', 'Time by module', tree({
        label: 'Time by module', root, sorted: list => list.sort((a, b) => time(b) - time(a)),
        line: node => [bar(most ? time(node) / most : 0),
                       make('span', {class: 'number'}, milliseconds(time(node))),
                       make('span', {class: 'number'}, percent(total ? time(node) / total : 0))],
        choose: node => showRow(node.rows[0]),
    }));
}

// Stages of a whole picture as they are told, else as the nodes have them; then steps.
function timeByStep() {
    const told = data.stages || [], stages = new Map();
    for (const s of told) {
        const name = s.step ? 'steps' : s.name;
        stages.set(name, (stages.get(name) || 0) + s.ms);
    }
    const by = byValue((data.totals || {}).step || [], s => s.step);
    const steps = [...by].map(([step, of]) => [`step ${step}`, sum(of, s => s.ms)]);
    if (!steps.length)
        steps.push(...groups(all.filter(i => has(get.step(i))), get.step, true)
            .sort((a, b) => a[0] - b[0]).map(([step, s]) => [`step ${step}`, s.ms]));
    if (!stages.size)
        for (const [name, s] of groups(all, get.stage, true)) stages.set(name, s.ms);
    if (stages.size < 2 && steps.length < 2) return null;
    const bars = (label, list) => {
        const most = Math.max(...list.map(([, ms]) => ms)), whole = list.reduce((a, b) => a + b[1],
                                                                                0);
        return make('div', null, make('h3', null, label), make('ul', {class: 'tree'},
            list.map(([name, ms]) => make('li', null, make('div', {class: 'line'},
                make('span', {class: 'name'}, name), bar(ms / most),
                make('span', {class: 'number'}, milliseconds(ms)),
                make('span', {class: 'number'}, percent(ms / whole)))))));
    };
    return section('steps', 'Time by stage and step', make('div', {class: 'pair'},
        stages.size > 1 && bars('Stages', [...stages]), steps.length > 1 && bars('Steps', steps)));
}

// ---- the nodes ----

const titles = {
    name: 'path of the module', op: 'the operation, with what is folded into it',
    ms: 'median time of a call', calls: 'in one run', share: 'all its calls, of all nodes',
    gflops_per_s: 'arithmetic as executed, by the median time',
    gb_per_s: 'bytes that have to be moved, by the median time',
    share_of_roof: 'of the measured roof: compute or bandwidth, whichever binds',
    bound: 'which of them binds',
    imbalance: 'share of the threads\' time that they wait for others',
    cpu_ms: 'time of all threads together', best_ms: 'the shortest run',
    flop: 'as executed', flop_direct: 'as counted directly, without Winograd',
    bytes: 'inputs, weights and output, each once', live_bytes: 'activations held at this node',
    kernel: 'what ran', variant: 'for which instructions', shape: 'of the output, PyTorch\'s order',
};

function nodeColumns() {
    const text = (key, label) => ({key, label, text: true, get: get[key],
                                   show: v => has(v) ? v : '–'});
    const list = [
        text('name', 'node'), {key: 'ms', label: 'ms'},
        {key: 'share', label: 'share', get: i => total ? spent(i) / total : null,
         element: i => make('span', {class: 'share'}, bar(spent(i) / longest),
                            percent(spent(i) / total))},
        {key: 'calls', label: 'calls'}, text('op', 'operation'),
        {key: 'gflops_per_s', label: 'GFLOP/s'}, {key: 'gb_per_s', label: 'GB/s'},
        {key: 'share_of_roof', label: 'of roof', show: percent}, text('bound', 'bound'),
        text('stage', 'stage'), {key: 'step', label: 'step'},
        {key: 'imbalance', label: 'waiting', show: percent},
        {key: 'cpu_ms', label: 'CPU ms'}, {key: 'best_ms', label: 'best ms'},
        {key: 'flop', label: 'FLOP', show: v => prefixed(v, '')},
        {key: 'bytes', label: 'bytes', show: v => prefixed(v, 'B')},
        {key: 'live_bytes', label: 'live', show: v => prefixed(v, 'B')},
        text('kernel', 'kernel'), text('variant', 'variant'), text('dtype', 'dtype'),
        {...text('shape', 'shape'), show: shapeText},
    ];
    const first = all.filter((_, i) => i % Math.ceil(all.length / 50 || 1) === 0);
    return list.map(c => ({get: get[c.key], title: titles[c.key], ...c})).filter(
        c => first.some(i => has(c.get(i)) && !(c.key === 'calls' && c.get(i) === 1)));
}

const longest = all.reduce((most, i) => Math.max(most, spent(i)), 0);

// All that is known of one.
function nodeFacts(i) {
    const quartiles = has(get.q1_ms(i)) ? `${milliseconds(get.q1_ms(i))} to ` +
        milliseconds(get.q3_ms(i)) : null;
    const told = [['problem', get.problem(i)], ['why this kernel', get.why(i)],
                  ['module', get.module(i) && pathText(get.module(i))], ['quartiles', quartiles]];
    const said = new Set(['name', 'problem', 'why', 'module', 'q1_ms', 'q3_ms']);
    const shows = [[/^shape$/, shapeText], [/ms$/, milliseconds], [/^share|^imbal/, percent],
                   [/bytes$/, v => prefixed(v, 'B')], [/^flop/, v => prefixed(v, 'FLOP')],
                   [/./, v => typeof v === 'number' ? digits(v) : v]];
    const rest = nodes.keys.filter(key => !said.has(key) && has(get[key](i))).map(key => [
        key === 'imbalance' ? 'waiting' : key.replaceAll('_', ' '),
        shows.find(([of]) => of.test(key))[1](get[key](i))]);
    return facts([...told, ...rest]);
}

const nodeTable = table({
    label: 'Nodes', columns: nodeColumns(), rows: all, sort: [2, -1], more: nodeFacts,
});
const filter = filterBox(i => ['name', 'module', 'op', 'kernel', 'variant', 'dtype', 'stage',
    'bound', 'problem'].map(key => get[key](i) || '').join(' '), nodeTable.filter);

if (data.busy && !(data.notes || []).some(note => note.includes('busy')))
    (data.notes ??= []).push('the machine was busy with other work, so that times are too long: ' +
                             (data.busy_because || []).join('; '));
page(`Profile of ${data.part || 'a run'}`, heading(),
     make('div', {class: 'pair'}, timeByModule(), timeByGroup()), roofline(),
     timeByStep(), section('nodes', 'Nodes', make('p', {class: 'controls'}, filter.element),
                           nodeTable.element));
