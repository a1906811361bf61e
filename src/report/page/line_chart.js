// Curves over a common axis, with a cross-hair that tells their values.
//
// lineChart(host, describe): `describe()` returns, each time that the chart is drawn,
//   series: [{label, color, x: [], y: [], dashed, strong, points (dots and no line), steps (constant until the next point)}],
//   formatX, formatY, unitY (that ticks are multiples of), titleX (of a value of x in the tooltip), axisX, axisY: texts of the axes, log, logX, zero, ticksX: [], domainY,
//   marks: [{x, label}], label: what is read out.
const chartMargin = {left: 62, right: 14, top: 22, bottom: 38};

function lineChart(host, describe) {
  const svg = svgEl("svg", {role: "img", tabindex: "0"});
  host.append(svg);
  let hovered = null;
  const draw = () => {
    hideTooltip();
    hovered = drawChart(svg, host, describe());
  };
  svg.addEventListener("pointermove", event => hovered.at(event.clientX - svg.getBoundingClientRect().left, event.clientY));
  svg.addEventListener("pointerleave", () => hovered.clear());
  svg.addEventListener("blur", () => hovered.clear());
  svg.addEventListener("keydown", event => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      hovered.move(event.key === "ArrowLeft" ? -1 : 1);
    } else if (event.key === "Escape") {
      hovered.clear();
    }
  });
  drawAlways(host, draw);
  return draw;
}

function drawChart(svg, host, chart) {
  const [width, height] = [host.clientWidth, host.clientHeight];
  const box = {left: chartMargin.left, right: width - chartMargin.right, top: chartMargin.top, bottom: height - chartMargin.bottom};
  const domainX = chart.domainX ?? extent(chart.series.flatMap(one => one.x), {log: chart.logX}).map((value, i) => chart.logX ? value : tightX(chart, i, value));
  const domainY = chart.domainY ?? extent(chart.series.flatMap(one => one.y), {log: chart.log, zero: chart.zero});
  const x = (chart.logX ? logScale : linearScale)(...domainX, box.left, box.right);
  const y = (chart.log ? logScale : linearScale)(...domainY, box.bottom, box.top);
  const id = `${host.closest("section").id}-clip`;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", `${chart.label} Arrow keys tell single values.`);
  svg.replaceChildren(
    svgEl("clipPath", {id}, svgEl("rect", {x: box.left - 4, y: box.top - 6, width: Math.max(0, box.right - box.left + 8), height: Math.max(0, box.bottom - box.top + 7)})),
    ...axes(chart, box, x, y), ...marks(chart, box, x),
    svgEl("g", {"clip-path": `url(#${id})`}, chart.series.map(one => curve(one, chart, x, y))));
  return crossHair(svg, chart, box, x, y);
}

// Curves begin at the frame: no room at the sides of a linear axis.
function tightX(chart, end, padded) {
  const values = chart.series.flatMap(one => one.x).filter(isNumber);
  if (values.length === 0) return padded;
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return low === high ? padded : end === 0 ? low : high;
}

function axes(chart, box, x, y) {
  const parts = [];
  for (const value of y.ticks(Math.max(4, Math.floor((box.bottom - box.top) / 42)), chart.unitY)) {
    const at = Math.round(y(value)) + 0.5;
    parts.push(svgEl("line", {class: "grid", x1: box.left, x2: box.right, y1: at, y2: at}),
      svgEl("text", {x: box.left - 8, y: at + 3.5, "text-anchor": "end"}, trimZeros(chart.formatY(value))));
  }
  const ticks = (chart.ticksX ?? x.ticks(Math.max(2, Math.floor((box.right - box.left) / 90)))).filter(value => x(value) >= box.left - 1 && x(value) <= box.right + 1);
  let last = null;  // ticks closer than their labels tell say the same twice
  for (const value of ticks) {
    const text = trimZeros(chart.formatX(value));
    if (text === last) continue;
    last = text;
    const at = Math.round(x(value)) + 0.5;
    parts.push(svgEl("line", {class: "base", x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4}),
      svgEl("text", {x: at, y: box.bottom + 17, "text-anchor": "middle"}, text));
  }
  parts.push(svgEl("line", {class: "base", x1: box.left, x2: box.right, y1: box.bottom + 0.5, y2: box.bottom + 0.5}),
    svgEl("text", {class: "axis-title", x: box.right, y: box.bottom + 34, "text-anchor": "end"}, chart.axisX),
    svgEl("text", {class: "axis-title", x: 0, y: 10}, chart.axisY));
  return parts;
}

function marks(chart, box, x) {
  return (chart.marks ?? []).filter(mark => isNumber(x(mark.x)) && x(mark.x) >= box.left && x(mark.x) <= box.right).flatMap((mark, i) => {
    const at = Math.round(x(mark.x)) + 0.5;
    const right = at > (box.left + box.right) / 2;
    return [svgEl("line", {class: "mark", x1: at, x2: at, y1: box.top, y2: box.bottom}),
      svgEl("text", {x: right ? at - 5 : at + 5, y: box.bottom - 6 - i * 14, "text-anchor": right ? "end" : "start"}, mark.label)];
  });
}

function curve(one, chart, x, y) {
  const shown = i => isNumber(one.y[i]) && !(chart.log && one.y[i] <= 0);
  const group = svgEl("g", {style: {"--color": one.color}});
  if (!one.points) {
    let path = "";
    for (let i = 0; i < one.x.length; ++i) {
      if (!shown(i)) continue;
      const [px, py] = [x(one.x[i]).toFixed(1), y(one.y[i]).toFixed(1)];
      path += i === 0 || !shown(i - 1) ? `M${px} ${py}` : one.steps ? `H${px}V${py}` : `L${px} ${py}`;
    }
    group.append(svgEl("path", {class: `curve${one.dashed ? " dashed" : ""}${one.strong ? " strong" : ""}`, d: path}));
  }
  // A point without neighbours is no line.
  const alone = i => !shown(i - 1) && !shown(i + 1);
  if (one.points || one.dots || one.x.length < 3) {
    for (let i = 0; i < one.x.length; ++i) {
      if (shown(i) && (one.points || one.dots || alone(i))) group.append(svgEl("circle", {class: "dot", cx: x(one.x[i]).toFixed(1), cy: y(one.y[i]).toFixed(1), r: one.x.length > 120 ? 2.5 : 4}));
    }
  }
  return group;
}

// The nearest point of sorted `values`.
function nearestIndex(values, value) {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle; else high = middle;
  }
  return Math.abs(values[low] - value) <= Math.abs(values[high] - value) ? low : high;
}

// The last point that is not after `value`: what a curve of steps stands at.
function indexBefore(values, value) {
  const nearest = nearestIndex(values, value);
  return values[nearest] > value && nearest > 0 ? nearest - 1 : nearest;
}

function crossHair(svg, chart, box, x, y) {
  const all = [...new Set(chart.series.filter(one => !one.points).flatMap(one => one.x))].sort((a, b) => a - b);
  const places = all.length > 0 ? all : [...new Set(chart.series.flatMap(one => one.x))].sort((a, b) => a - b);
  const pixels = places.map(x);
  const group = svgEl("g");
  svg.append(group);
  let current = -1;
  const show = (index, clientY) => {
    if (index < 0 || index >= places.length) return;
    current = index;
    const at = Math.round(pixels[index]) + 0.5;
    const rows = [];
    const dots = [];
    for (const one of chart.series) {
      if (one.x.length === 0) continue;
      const i = one.steps ? indexBefore(one.x, places[index]) : nearestIndex(one.x, places[index]);
      if (!isNumber(one.y[i]) || (!one.steps && Math.abs(x(one.x[i]) - pixels[index]) > (one.points ? 4 : 0.5))) continue;
      rows.push({name: one.label, value: (one.formatY ?? chart.formatY)(one.y[i]), color: one.color});
      if (!(chart.log && one.y[i] <= 0) && y(one.y[i]) >= box.top - 6) dots.push(svgEl("circle", {class: "dot", cx: at, cy: y(one.y[i]), r: 4, style: {"--color": one.color}}));
    }
    group.replaceChildren(svgEl("line", {class: "cross", x1: at, x2: at, y1: box.top, y2: box.bottom}), ...dots);
    const place = svg.getBoundingClientRect();
    showTooltip(place.left + at, clientY ?? place.top + box.top, el("strong", {}, chart.titleX(places[index])), tooltipRows([...rows, ...(chart.more?.(places[index]) ?? [])]));
  };
  return {
    at: (px, clientY) => show(nearestIndex(pixels, px), clientY),
    move: by => show(current < 0 ? 0 : Math.max(0, Math.min(places.length - 1, current + by))),
    clear: () => { current = -1; group.replaceChildren(); hideTooltip(); },
  };
}
