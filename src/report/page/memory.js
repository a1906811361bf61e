// Memory by tier, planned and over time.
const tierColors = {host: "var(--lane-ssd_read)", device: "var(--lane-compute)", ssd: "var(--lane-commit)"};
const tierColor = tier => tierColors[tier] ?? "var(--lane-other)";

function fillMemory(data) {
  const tiers = [...new Set(data.memory.map(row => row.tier ?? ""))];
  const rows = [];
  for (const tier of tiers) {
    const parts = data.memory.filter(row => (row.tier ?? "") === tier).sort((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0));
    const whole = parts.reduce((sum, row) => sum + (row.bytes ?? 0), 0);
    const total = [el("span", {}, swatch(tierColor(tier)), `all of ${tier}`), el("td", {class: "with-bar"}), budgetText(data.config, tier), formatBytes(whole)];
    total.kind = "total";
    rows.push(...parts.map(row => [row.name ?? "", barCell(whole > 0 ? row.bytes / whole : 0, tierColor(tier), formatBytes(row.bytes)), el("span", {class: "quiet"}, row.detail ?? ""), formatBytes(row.bytes)]), total);
  }
  bodyOf("memory").append(table([["what", false], ["", false, true], ["", false], ["bytes", true]], rows));
}

function budgetText(config, tier) {
  const budget = config?.memory?.[`${tier}_budget`];
  const text = isNumber(budget) ? formatBytes(budget) : budget;
  return text ? el("span", {class: "quiet"}, `budget ${text}`) : "";
}

function fillMemoryOverTime({prediction}) {
  const over = Object.entries(prediction.memory_over_time).filter(([, points]) => points.length > 0);
  const end = Math.max(...over.flatMap(([, points]) => points[points.length - 1][0]));
  const series = over.map(([tier, points]) => {
    const x = points.map(([time]) => time);
    const y = points.map(([, bytes]) => bytes);
    if (x[x.length - 1] < end) {  // constant to the end
      x.push(end);
      y.push(y[y.length - 1]);
    }
    return {label: tier, color: tierColor(tier), x, y, steps: true};
  });
  const host = bodyOf("memory_over_time");
  host.append(legend(series));
  const peak = one => `${one.label} ${formatBytes(Math.max(...one.y))}`;
  lineChart(host.appendChild(el("div", {class: "chart"})), () => ({
    series, zero: true, formatX: formatMs, formatY: formatBytes, unitY: byteUnit(Math.max(...series.flatMap(one => one.y))), titleX: formatMs, axisX: "time", axisY: "in use",
    label: `Memory in use over time; most: ${series.map(peak).join(", ")}.`}));
  host.append(el("p", {class: "quiet"}, `Most: ${series.map(peak).join(", ")}.`));
}
