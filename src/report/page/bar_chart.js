// Bars of each lane: measured beside predicted, with the lane's own limit.
//
// laneBars(host, rows): rows of {lane, measured, predicted, limit}, shares of a step's time or null.
function laneBars(host, rows) {
  const most = Math.max(1, ...rows.flatMap(row => [row.measured, row.predicted]).filter(isNumber));
  const percent = share => `${Math.min(1, share / most) * 100}%`;
  const has = key => rows.some(row => isNumber(row[key]));
  host.append(legend([
    has("measured") ? {label: "measured", kind: "box", color: "var(--ink-2)"} : null,
    has("predicted") ? {label: "predicted", kind: "box outline", color: "var(--ink-2)"} : null,
    has("limit") ? {label: "the lane's own limit", kind: "limit"} : null].filter(Boolean)));
  const grid = el("div", {class: "lanes", role: "table", "aria-label": "Busy share by lane"});
  grid.append(laneHead(has));
  for (const row of rows) grid.append(laneRow(row, has, percent));
  host.append(grid);
}

// A row without a box of its own: its cells lie in the table's grid.
const gridRow = (...cells) => el("div", {role: "row", style: {display: "contents"}}, cells);

function laneHead(has) {
  const head = (text, more = "") => el("div", {class: `head number ${more}`, role: "columnheader"}, text);
  return gridRow(el("div", {class: "head", role: "columnheader"}, "lane"), el("div", {class: "head", role: "columnheader"}, ""),
    head(has("measured") ? "measured" : ""), head(has("predicted") ? "predicted" : ""), head(has("limit") ? "limit" : "", "limit-column"));
}

function laneRow(row, has, percent) {
  const bar = (share, kind) => el("div", {class: "bar"}, isNumber(share) ? el("i", {class: kind, style: {"--share": percent(share)}}) : null);
  const bars = el("div", {class: "bars", role: "cell", style: {"--color": laneColor(row.lane)}});
  if (has("measured")) bars.append(bar(row.measured, ""));
  if (has("predicted")) bars.append(bar(row.predicted, "outline"));
  if (isNumber(row.limit)) bars.lastChild.append(el("b", {style: {"--limit": percent(row.limit)}}));
  const cell = (share, shown, more = "") => el("div", {class: `number ${more}`, role: "cell"}, shown ? formatShare(share) : "");
  return gridRow(el("div", {role: "rowheader"}, swatch(laneColor(row.lane)), row.lane), bars,
    cell(row.measured, has("measured")), cell(row.predicted, has("predicted")), cell(row.limit, has("limit"), "limit-column"));
}
