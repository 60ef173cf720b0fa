"use strict";
(() => {
  const report = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const plots = new Map();

  // ---- small helpers
  const element = (name, attributes, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
  };
  const fixed = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
  const count = (value) => (value === null || value === undefined ? "-" : value.toLocaleString("en"));
  const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
  const length = (s) => {
    if (s === null || s === undefined) return "-";
    const [value, unit] = s < 120 ? [s, "s"] : s < 7200 ? [s / 60, "min"] : s < 172800 ? [s / 3600, "h"] : [s / 86400, "d"];
    return `${Math.round(value * 10) / 10} ${unit}`;
  };
  const time = (s) => new Date(s * 1000).toISOString().slice(0, 19).replace("T", " ");
  const number = (v) => {
    if (v === null || v === undefined) return "-";
    const size = Math.abs(v);
    if (size !== 0 && (size < 1e-4 || size >= 1e15)) return v.toExponential(3);
    return String(Number(v.toPrecision(6)));
  };
  const axis = (v) => {
    const size = Math.abs(v);
    for (const [least, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
      if (size >= least) return Number((v / (least === 1e4 ? 1e3 : least)).toPrecision(4)) + unit;
    }
    return size !== 0 && size < 1e-4 ? v.toExponential(1) : String(Number(v.toPrecision(5)));
  };
  const colour = (name, alpha) => {
    const value = getComputedStyle(root).getPropertyValue(`--${name}`).trim();
    return alpha === undefined ? value : `rgba(${value}, ${alpha})`;
  };

  // ---- tables
  const table = (node, caption, head, rows) => {
    node.replaceChildren(
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((h) => element("th", { scope: "col" }, h)))),
      element("tbody", {}, ...rows));
  };
  const cell = (content, attributes) => element("td", attributes, content);

  const cards = () => {
    const first = report.rules[0];
    const card = (name, value, note) => element("dl", { class: "card", style: "margin:0" },
      element("dt", {}, name), element("dd", {}, value), note ? element("small", {}, note) : null);
    const list = [
      card("Alarms a week", fixed(first.per_week, 2), `${plural(first.alarms, "alarm")} in ${fixed(first.weeks, 1)} weeks of series`),
      card("Outside the band", report.outside === null ? "-" : `${(100 * report.outside).toFixed(2)} %`, "of the samples that were judged"),
    ];
    if (report.labelled) {
      list.push(
        card("False a week", fixed(first.false_per_week, 2), plural(first.false_alarms, "false alarm")),
        card("Precision", fixed(first.precision, 3), "alarms that found something"),
        card("Recall", fixed(first.recall, 3), `${first.found} of ${plural(first.found + first.missed, "incident")} found`),
        card("F1", fixed(first.f1, 3), "of precision and recall"),
        card("Delay", length(first.delay), first.delay_90 === null ? "" : `median; 90 % in ${length(first.delay_90)}`));
    }
    $("cards").replaceChildren(...list);
  };

  const compared = () => {
    if (report.rules.length > 1) {
      $("compared").hidden = false;
      const labelled = report.labelled ? ["Found", "Missed", "False", "False a week", "Precision", "Recall", "F1", "Delay"] : [];
      table($("rules"), "Rules compared", ["Rule", "Alarms", "A week", ...labelled], report.rules.map((r, i) =>
        element("tr", { class: i === 0 ? "first" : null }, cell(r.name), cell(count(r.alarms)), cell(fixed(r.per_week, 2)),
          ...(report.labelled ? [cell(count(r.found)), cell(count(r.missed)), cell(count(r.false_alarms)), cell(fixed(r.false_per_week, 2)),
            cell(fixed(r.precision, 3)), cell(fixed(r.recall, 3)), cell(fixed(r.f1, 3)), cell(length(r.delay))] : []))));
    }
    if (report.kinds.length) {
      $("kinds-part").hidden = false;
      table($("kinds"), "By kind of incident", ["Kind", "Incidents", "Found", "Delay"], report.kinds.map((k) =>
        element("tr", {}, cell(k.name), cell(count(k.count)), cell(count(k.found)), cell(length(k.delay)))));
    }
  };

  const columns = () => [
    { name: "Series", of: (s) => s.title, show: (s) => (s.points ? element("a", { href: `#s${s.at}` }, s.title) : s.title) },
    { name: "Samples", of: (s) => s.samples, show: (s) => count(s.samples) },
    { name: "Interval", of: (s) => s.interval, show: (s) => length(s.interval) },
    { name: "Outside", of: (s) => s.outside ?? -1, show: (s) => (s.outside === null ? "-" : `${(100 * s.outside).toFixed(2)} %`) },
    { name: "Alarms", of: (s) => s.alarms, show: (s) => count(s.alarms) },
    { name: "A week", of: (s) => s.per_week ?? -1, show: (s) => fixed(s.per_week, 2) },
    ...(report.labelled ? [
      { name: "Found", of: (s) => s.found ?? -1, show: (s) => count(s.found) },
      { name: "Missed", of: (s) => s.missed ?? -1, show: (s) => count(s.missed), class: (s) => (s.missed ? "bad" : null) },
      { name: "False", of: (s) => s.false_alarms ?? -1, show: (s) => count(s.false_alarms), class: (s) => (s.false_alarms ? "bad" : null) },
      { name: "Delay", of: (s) => s.delay ?? -1, show: (s) => length(s.delay) },
    ] : []),
  ];

  const seriesTable = () => {
    const shown = columns();
    let sorted = { column: null, down: false };
    const rows = report.series.map((s) => ({ s, row: element("tr", {}, ...shown.map((c) => cell(c.show(s), c.class ? { class: c.class(s) } : {}))) }));
    const body = element("tbody");
    const heads = shown.map((c) => {
      const head = element("th", { scope: "col" }, element("button", { type: "button", onclick: () => {
        sorted = { column: c, down: sorted.column === c ? !sorted.down : c.name !== "Series" };
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        fill();
      } }, c.name));
      return head;
    });
    const fill = () => {
      const wanted = $("find").value.toLowerCase();
      const list = rows.filter((r) => r.s.title.toLowerCase().includes(wanted));
      if (sorted.column) {
        const { of } = sorted.column;
        list.sort((a, b) => (of(a.s) < of(b.s) ? -1 : of(a.s) > of(b.s) ? 1 : 0) * (sorted.down ? -1 : 1));
      }
      body.replaceChildren(...list.map((r) => r.row));
    };
    $("table").replaceChildren(element("caption", {}, "Series"), element("thead", {}, element("tr", {}, ...heads)), body);
    $("find").addEventListener("input", () => { fill(); filterPlots(); });
    fill();
  };

  // ---- the samples of a series
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const unpack = (p, interval) => {
    const steps = new Uint32Array(bytes(p.times));
    const offset = (text) => Array.from(new Float32Array(bytes(text)), (v) => (Number.isNaN(v) ? null : v + p.base));
    const source = [null, offset(p.lower), offset(p.upper), offset(p.values)];
    const data = [[], [], [], []];
    const gap = 10 * interval * Math.max(1, p.stride);
    let before = NaN;
    for (let i = 0; i < steps.length; i++) {
      const now = p.start + steps[i] * p.unit;
      if (now - before > gap) {
        // a hole in the line
        data[0].push(before + gap / 2);
        for (const k of [1, 2, 3]) data[k].push(null);
      }
      data[0].push(now);
      for (const k of [1, 2, 3]) data[k].push(source[k][i]);
      before = now;
    }
    return data;
  };

  // ---- plots
  const range = (u, s) => {
    const [, lower, upper, values] = u.data;
    const [from, to] = u.series[0].idxs ?? [0, values.length - 1];
    let low = Infinity, high = -Infinity;
    for (let i = from; i <= to; i++) {
      const v = values[i];
      if (v !== null) { if (v < low) low = v; if (v > high) high = v; }
    }
    if (low > high) return [0, 1];
    const room = (high - low) * 0.5;
    let [min, max] = [low, high];
    const see = (v) => { if (v !== null && v >= low - room && v <= high + room) { if (v < min) min = v; if (v > max) max = v; } };
    for (let i = from; i <= to; i++) { see(lower[i]); see(upper[i]); }
    s.limits.forEach(see);
    const padding = (max - min) * 0.08 || Math.max(1, Math.abs(max)) * 0.1;
    return [min - padding, max + padding];
  };

  const shade = (u, from, to, name, top) => {
    const { left, width, height } = u.bbox;
    const y = u.bbox.top;
    const a = Math.max(left, u.valToPos(from, "x", true));
    const b = Math.min(left + width, u.valToPos(to, "x", true));
    if (b < left || a > left + width) return;
    const wide = Math.max(b - a, 2 * devicePixelRatio);
    const bar = 5 * devicePixelRatio;
    u.ctx.fillStyle = colour(name, 0.17);
    u.ctx.fillRect(a, y + top, wide, height - top);
    u.ctx.fillStyle = colour(name, 1);
    u.ctx.fillRect(a, y + top, wide, bar);
  };

  const under = (s) => (u) => {
    u.ctx.save();
    const bar = 6 * devicePixelRatio;
    s.windows.forEach(([from, to]) => shade(u, from, to, "incident", bar));
    s.alarm_list.forEach((a) => shade(u, a.start, a.end, "alarm", 0));
    u.ctx.restore();
  };

  const over = (s) => (u) => {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.strokeStyle = colour("limit", 1);
    ctx.setLineDash([7 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const limit of s.limits) {
      const y = u.valToPos(limit, "y", true);
      ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
    }
    // samples in alarm
    const [times, , , values] = u.data;
    const [from, to] = u.series[0].idxs ?? [0, -1];
    ctx.fillStyle = colour("alarm", 1);
    for (const alarm of s.alarm_list) {
      for (let i = at(times, alarm.start); i <= to && times[i] <= alarm.end; i++) {
        if (i < from || values[i] === null) continue;
        ctx.beginPath();
        ctx.arc(u.valToPos(times[i], "x", true), u.valToPos(values[i], "y", true), 2.4 * devicePixelRatio, 0, 7);
        ctx.fill();
      }
    }
    ctx.restore();
  };

  // index of the first time that is not before `t`
  const at = (times, t) => {
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < t - 1e-6) low = middle + 1; else high = middle;
    }
    return low;
  };

  // ticks of the time axis: distance in seconds, form, form where the year, day or minute changes
  const timeForms = [
    [31536000, "{YYYY}", null, null, null, null, null, null, 1],
    [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [86400, "{MMM} {D}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, "{HH}:{mm}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
    [60, "{HH}:{mm}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
  ];

  const options = (s, width) => ({
    width,
    height: 300,
    tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "UTC"),
    cursor: { drag: { x: true, y: false, dist: 4 }, points: { size: 7 } },
    legend: { live: true },
    scales: { y: { range: (u) => range(u, s) } },
    axes: [
      { stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid"), width: 1 }, font: "12px system-ui, sans-serif",
        values: timeForms, space: 80 },
      { stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, size: 66, font: "12px system-ui, sans-serif",
        values: (u, ticks) => ticks.map(axis) },
    ],
    series: [
      { value: (u, t) => (t === null ? "-" : time(t)), label: "Time" },
      { label: "Lower edge", stroke: colour("band", 0.4), width: 0.7, points: { show: false }, value: (u, v) => number(v) },
      { label: "Upper edge", stroke: colour("band", 0.4), width: 0.7, points: { show: false }, value: (u, v) => number(v) },
      { label: "Value", stroke: colour("value"), width: 1.1, points: { show: false }, value: (u, v) => number(v) },
    ],
    bands: [{ series: [2, 1], fill: colour("band", 0.22) }],
    hooks: { drawClear: [under(s)], draw: [over(s), () => { plots.get(s.at).card.dataset.drawn = "yes"; }] },
  });

  const draw = (s) => {
    const entry = plots.get(s.at);
    if (entry.plot) entry.plot.destroy();
    const wide = entry.area.clientWidth || 800;
    entry.data = entry.data || unpack(s.points, s.interval);
    entry.plot = new uPlot(options(s, wide), entry.data, entry.area);
    entry.area.querySelector("canvas").setAttribute("aria-hidden", "true");
  };

  const zoom = (s, from, to) => {
    const { plot, data } = plots.get(s.at);
    if (!plot) return;
    const [first, last] = [data[0][0], data[0][data[0].length - 1]];
    const room = Math.max((to - from) * 1.5, s.interval * 60);
    plot.setScale("x", { min: Math.max(first, from - room), max: Math.min(last, to + room) });
  };

  const about = (s) => {
    let text = `${plural(s.samples, "sample")} every ${length(s.interval)}, ${time(s.first)} to ${time(s.last)}; ${plural(s.alarms, "alarm")}`;
    if (s.per_week !== null) text += ` (${fixed(s.per_week, 2)} a week)`;
    const early = s.alarm_list.filter((a) => a.meaning === "warm_up").length;
    if (early) text += ` and ${early} in the warm-up`;
    if (s.found !== null) text += `; ${s.found} of ${plural(s.found + s.missed, "labelled incident")} found, ${s.false_alarms} false`;
    if (s.points && s.points.stride > 2) text += `. Drawn: the least and the largest of each ${count(s.points.stride)} samples`;
    return `${text}.`;
  };

  const alarmTable = (s) => {
    const words = { hit: "found an incident", false: "false", recovery: "in a recovery", warm_up: "in the warm-up", unknown: "-" };
    const styles = { hit: "good", false: "bad" };
    const node = element("table");
    table(node, `Alarms of ${s.title}`, ["Began", "Lasted", "Kind", "Side", "Value", "Score", "Meaning", "Show"], s.alarm_list.map((a) =>
      element("tr", {}, cell(time(a.start)), cell(length(a.end - a.start)), cell(a.kind || "-"), cell(a.side), cell(number(a.value)), cell(fixed(a.score, 2)),
        cell(words[a.meaning], { class: styles[a.meaning] }),
        cell(element("button", { type: "button", "aria-label": `Show the alarm of ${time(a.start)}`, onclick: () => {
          zoom(s, a.start, a.end);
          plots.get(s.at).card.scrollIntoView();
        } }, "Show")))));
    return element("details", {}, element("summary", {}, plural(s.alarm_list.length, "alarm")), element("div", { class: "scroll" }, node));
  };

  const plotCard = (s) => {
    const area = element("div", { class: "area", role: "img", "aria-label": `Plot of ${s.title}. ${about(s)}` });
    let shown = -1;
    const step = (by) => () => {
      if (!s.alarm_list.length) return;
      shown = (shown + by + s.alarm_list.length) % s.alarm_list.length;
      zoom(s, s.alarm_list[shown].start, s.alarm_list[shown].end);
    };
    const all = () => {
      const { plot, data } = plots.get(s.at);
      shown = -1;
      if (plot) plot.setScale("x", { min: data[0][0], max: data[0][data[0].length - 1] });
    };
    const none = s.alarm_list.length ? null : "";
    const card = element("article", { class: "plot", id: `s${s.at}` },
      element("div", { class: "bar" },
        element("div", {}, element("h3", {}, s.title), element("p", {}, about(s))),
        element("div", { class: "tools" },
          element("button", { type: "button", onclick: step(-1), disabled: none, "aria-label": "Previous alarm" }, "\u2039 alarm"),
          element("button", { type: "button", onclick: step(1), disabled: none, "aria-label": "Next alarm" }, "alarm \u203a"),
          element("button", { type: "button", onclick: all }, "All"))),
      area,
      s.alarm_list.length ? alarmTable(s) : null);
    plots.set(s.at, { s, card, area, plot: null, data: null });
    return card;
  };

  const filterPlots = () => {
    const wanted = $("find").value.toLowerCase();
    for (const { s, card } of plots.values()) card.hidden = !s.title.toLowerCase().includes(wanted);
  };

  const legend = () => {
    const swatch = (style, text) => element("li", {}, element("i", { style }), text);
    const list = [
      swatch("height:2px;vertical-align:4px;background:var(--value)", "value"),
      swatch("background:rgba(var(--band),.3);outline:1px solid rgba(var(--band),.6)", report.rules[0].name),
      swatch("background:rgba(var(--alarm),1)", "alarm"),
    ];
    if (report.labelled) list.push(swatch("background:rgba(var(--incident),1)", "labelled incident"));
    if (report.series.some((s) => s.limits.length)) list.push(swatch("height:0;vertical-align:4px;border-top:2px dashed rgba(var(--limit),1)", "fixed limit"));
    $("legend").replaceChildren(...list);
  };

  const scheme = () => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const set = (dark) => {
      root.dataset.scheme = dark ? "dark" : "light";
      $("scheme").textContent = dark ? "Light" : "Dark";
      $("scheme").setAttribute("aria-pressed", String(dark));
      for (const { s, plot } of plots.values()) {
        if (!plot) continue;
        const { min, max } = plot.scales.x;
        draw(s);
        plots.get(s.at).plot.setScale("x", { min, max });
      }
    };
    $("scheme").addEventListener("click", () => set(root.dataset.scheme !== "dark"));
    media.addEventListener("change", (e) => set(e.matches));
    set(media.matches);
  };

  // ---- the page
  scheme();
  $("about").textContent = report.about;
  cards();
  compared();
  seriesTable();
  legend();
  const drawable = report.series.filter((s) => s.points);
  $("plots").replaceChildren(...drawable.map(plotCard));
  if (drawable.length < report.series.length) {
    $("plots").append(element("p", { class: "soft" }, `Plots of the ${drawable.length} series with the most alarms; the other ${report.series.length - drawable.length} are in the table only.`));
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      near.unobserve(entry.target);
      draw(plots.get(Number(entry.target.id.slice(1))).s);
    }
  }, { rootMargin: "600px" });
  for (const { card } of plots.values()) near.observe(card);
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const { plot, area } of plots.values()) if (plot) plot.setSize({ width: area.clientWidth, height: 300 });
    }, 100);
  });
  root.dataset.ready = "yes";
})();
