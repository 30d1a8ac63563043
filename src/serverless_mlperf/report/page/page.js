"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const cells = new Map(data.cells.map((cell) => [cell.id, cell]));
  // Okabe and Ito's colours, safe for the colour-blind; symbols and dashes tell series apart as well.
  const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon"];
  const HATCHES = ["", "/", ".", "x", "-", "+", "\\", "|"];
  const GROUPS = [["task", "Task"], ["engine", "Engine"], ["memory_mib", "Memory (MB)"]];
  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(name).trim();
  const shown = new Set(cells.keys());

  const distinct = (values) => [...new Set(values)];
  const visible = (rows) => rows.filter((row) => shown.has(row.cell));

  function element(name, attributes = {}, text = "") {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  }

  // Filters

  function buildFilters() {
    const form = document.getElementById("filters");
    for (const [key, title] of GROUPS) {
      const group = element("fieldset");
      group.append(element("legend", {}, title));
      for (const value of distinct(data.cells.map((cell) => cell[key]))) {
        const label = element("label");
        const box = element("input", { type: "checkbox", name: key, value, checked: "" });
        label.append(box, ` ${String(value).replaceAll("_", " ")}`);
        group.append(label);
      }
      form.append(group);
    }
    form.addEventListener("change", update);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  function update() {
    const chosen = new Map(GROUPS.map(([key]) => [key, new Set()]));
    for (const box of document.querySelectorAll("#filters input:checked")) chosen.get(box.name).add(box.value);
    shown.clear();
    for (const cell of data.cells) if (GROUPS.every(([key]) => chosen.get(key).has(String(cell[key])))) shown.add(cell.id);
    document.getElementById("shown").textContent = `${shown.size} of ${cells.size} cells are shown.`;
    for (const row of document.querySelectorAll("#runs tbody tr")) row.hidden = !shown.has(row.dataset.cell);
    data.figures.forEach(draw);
  }

  // Figures

  function draw(figure) {
    const section = document.getElementById(figure.id);
    const rows = visible(figure.rows);
    const traces = { bar: bars, stack: stacks, group: stacks, line: lines, step: steps, scatter: points, span: spans }[figure.kind](figure, rows);
    Plotly.react(section.querySelector(".plot"), traces, layout(figure, rows), {
      responsive: true, displaylogo: false, scrollZoom: false, modeBarButtonsToRemove: ["lasso2d", "select2d"],
      toImageButtonOptions: { format: "svg", filename: figure.id },
    });
    if (section.querySelector("details").open) table(figure);
  }

  function bySeries(figure, rows, column = figure.series) {
    const names = distinct(figure.rows.map((row) => row[column]));
    return distinct(rows.map((row) => row[column])).map((name) => ({
      name, place: names.indexOf(name), rows: rows.filter((row) => row[column] === name),
    }));
  }

  const pick = (list, place) => list[place % list.length];
  const ends = (figure, rows) => ({
    type: "data", symmetric: false, thickness: 1.5, color: colour("--ink"),
    array: rows.map((row) => (row[figure.high] ?? row[figure.y]) - row[figure.y]),
    arrayminus: rows.map((row) => row[figure.y] - (row[figure.low] ?? row[figure.y])),
  });

  const hatch = (place) => ({ shape: pick(HATCHES, place), fillmode: "overlay", fgcolor: colour("--paper"), fgopacity: 0.6, size: 5, solidity: 0.25 });

  // What is not VALID is pale.
  const strength = (row) => (row.verdict === "INVALID" ? 0.3 : 1);

  function bars(figure, rows) {
    return bySeries(figure, rows).map(({ name, place, rows: mine }) => ({
      type: "bar", name, x: mine.map((row) => String(row[figure.x])), y: mine.map((row) => row[figure.y]),
      marker: { color: pick(COLOURS, place), pattern: hatch(place), opacity: mine.map(strength) },
      error_y: figure.low ? ends(figure, mine) : undefined,
    }));
  }

  function stacks(figure, rows) {
    return bySeries(figure, rows).map(({ name, place, rows: mine }) => ({
      type: "bar", orientation: "h", name, y: mine.map((row) => row.label), x: mine.map((row) => row[figure.x]),
      marker: { color: pick(COLOURS, place), pattern: hatch(place) },
    }));
  }

  function lines(figure, rows) {
    return bySeries(figure, rows).map(({ name, place, rows: mine }) => {
      const ordered = [...mine].sort((a, b) => a[figure.x] - b[figure.x]);
      const modelled = ordered.some((row) => row.modelled);
      return {
        type: "scatter", mode: "lines+markers", name, x: ordered.map((row) => row[figure.x]), y: ordered.map((row) => row[figure.y]),
        line: { dash: modelled ? "dot" : "solid", color: pick(COLOURS, Math.floor(place / figure.share_colour)) },
        marker: { symbol: pick(SYMBOLS, place) + (modelled ? "-open" : ""), size: 8 },
      };
    });
  }

  function steps(figure, rows) {
    return bySeries(figure, rows).flatMap(({ name, place, rows: mine }) => {
      const x = mine.map((row) => row[figure.x]);
      const tint = pick(COLOURS, place);
      const edge = (column, fill) => ({
        type: "scatter", mode: "lines", x, y: mine.map((row) => row[column]), line: { width: 0, shape: "hv", color: tint },
        fill, fillcolor: `${tint}22`, showlegend: false, hoverinfo: "skip", legendgroup: name,
      });
      const curve = {
        type: "scatter", mode: "lines", name, x, y: mine.map((row) => row[figure.y]), legendgroup: name,
        line: { shape: "hv", width: 2, color: tint, dash: pick(["solid", "dash", "dot", "dashdot"], Math.floor(place / COLOURS.length)) },
      };
      return [edge(figure.low, "none"), edge(figure.high, "tonexty"), curve];
    });
  }

  function points(figure, rows) {
    const traces = bySeries(figure, rows).map(({ name, place, rows: mine }) => ({
      type: "scatter", mode: "markers", name, x: mine.map((row) => row[figure.x]), y: mine.map((row) => row[figure.y]),
      text: mine.map((row) => row.cell), hovertemplate: "%{text} MB: %{x} ms, %{y} USD",
      marker: { color: pick(COLOURS, place), symbol: mine.map((row) => pick(SYMBOLS, place) + (row.modelled ? "-open" : "")), size: 11, line: { width: 2 }, opacity: mine.map(strength) },
    }));
    for (const task of distinct(rows.map((row) => row.task))) {
      const front = rows.filter((row) => row.task === task && row[figure.front]).sort((a, b) => a[figure.x] - b[figure.x]);
      traces.push({
        type: "scatter", mode: "lines", name: `front, ${task.replaceAll("_", " ")}`, x: front.map((row) => row[figure.x]),
        y: front.map((row) => row[figure.y]), line: { color: colour("--ink"), width: 1, dash: "dash" }, hoverinfo: "skip",
      });
    }
    return traces;
  }

  function spans(figure, rows) {
    const lanes = bySeries(figure, rows).map(({ name, place, rows: mine }) => ({
      type: "bar", orientation: "h", name, y: mine.map((row) => row[figure.y]), base: mine.map((row) => row[figure.x]),
      x: mine.map((row) => row[figure.high] - row[figure.x]), marker: { color: pick(COLOURS, place), line: { width: 0.5, color: colour("--paper") } },
    }));
    lanes.push({
      type: "scatter", mode: "markers", name: "handed over", x: rows.map((row) => row[figure.low]), y: rows.map(() => "arrivals"),
      marker: { symbol: "line-ns-open", color: colour("--ink"), size: 9 },
    });
    return lanes;
  }

  function layout(figure, rows) {
    const ink = colour("--ink");
    const axis = (title, log) => ({ title: { text: title }, type: log ? "log" : undefined, gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true });
    const levels = figure.target ? distinct(rows.map((row) => row[figure.target]).filter((level) => level !== null)) : [];
    const wide = ["stack", "group", "span"].includes(figure.kind);
    const entries = distinct(rows.map((row) => row[figure.series])).length + (figure.front ? 2 : 0) + (figure.kind === "span" ? 1 : 0);
    const legend_px = 22 * Math.ceil(entries / Math.max(1, Math.floor(document.querySelector("main").clientWidth / 240)));
    const labels = figure.kind === "stack" || figure.kind === "group" ? distinct(rows.map((row) => row.label)).length : 0;
    const row_px = figure.kind === "group" ? 34 : 22;
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 50, r: 10, t: 30, b: 60 + legend_px }, modebar: { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: colour("--link") },
      barmode: figure.kind === "stack" ? "stack" : figure.kind === "span" ? "overlay" : "group",
      xaxis: axis(wide ? figure.x_title || figure.y_title : figure.x_title, figure.x_log),
      yaxis: axis(wide ? "" : figure.y_title, figure.y_log),
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" }, hoverlabel: { namelength: -1 },
      height: (labels ? 120 + row_px * labels : 400) + legend_px,
      shapes: levels.map((level) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: ink, dash: "dash", width: 1.5 } })),
      annotations: levels.map((level) => ({ xref: "paper", x: 1, y: level, text: `target ${level}`, showarrow: false, yanchor: "bottom", xanchor: "right" })),
    };
    if (figure.kind === "bar") made.xaxis.type = "category";
    if (levels.length) made.yaxis.range = [Math.min(...levels, ...rows.map((row) => row[figure.y])) - 0.02, 1.02];
    return made;
  }

  // Tables

  function table(figure) {
    const rows = visible(figure.rows);
    const names = Object.keys(figure.rows[0]);
    const made = element("table");
    const head = element("tr");
    for (const name of names) head.append(element("th", { scope: "col" }, name.replaceAll("_", " ")));
    made.append(element("thead"), element("tbody"));
    made.tHead.append(head);
    for (const row of rows) {
      const line = element("tr");
      for (const name of names) line.append(element("td", {}, row[name] ?? "-"));
      made.tBodies[0].append(line);
    }
    document.getElementById(figure.id).querySelector("details .scroll").replaceChildren(made);
  }

  function save(figure) {
    const names = Object.keys(figure.rows[0]);
    const quoted = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const text = [names, ...visible(figure.rows).map((row) => names.map((name) => row[name]))].map((line) => line.map(quoted).join(",")).join("\n");
    const link = element("a", { href: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })), download: `${figure.id}.csv` });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // As it is seen now: filters and colours count.
  function image(figure, format) {
    const plot = document.getElementById(figure.id).querySelector(".plot");
    const size = { width: plot.clientWidth, height: plot.clientHeight, scale: format === "png" ? 2 : 1 };
    return Plotly.downloadImage(plot, { format, filename: figure.id, ...size });
  }

  function sortBy(button) {
    const head = button.closest("th");
    const place = [...head.parentElement.children].indexOf(head);
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = document.querySelector("#runs tbody");
    const value = (row) => row.children[place].dataset.value;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      const numbers = x !== "" && y !== "" && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
      return (numbers ? Number(x) - Number(y) : x.localeCompare(y)) * (descending ? -1 : 1);
    };
    body.append(...[...body.rows].sort(order));
  }

  buildFilters();
  for (const button of document.querySelectorAll("#runs th button")) button.addEventListener("click", () => sortBy(button));
  for (const figure of data.figures) {
    const section = document.getElementById(figure.id);
    section.querySelector("details").addEventListener("toggle", () => table(figure));
    section.querySelector(".csv").addEventListener("click", () => save(figure));
    for (const button of section.querySelectorAll(".image")) {
      button.addEventListener("click", () => image(figure, button.dataset.format));
    }
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  update();
  document.body.dataset.ready = "true";
})();
