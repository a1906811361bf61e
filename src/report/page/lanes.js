// Busy shares, and the chain of tasks that a step's time is made of.
function fillLanes(data) {
  const measured = data.steady?.busy_share ?? {};
  const predicted = data.prediction?.lanes ?? {};
  const step = data.prediction?.step_ms;
  const share = ms => isNumber(ms) && step > 0 ? ms / step : null;
  const rows = sortedLanes([...Object.keys(measured), ...Object.keys(predicted)]).map(lane => (
    {lane, measured: measured[lane] ?? null, predicted: share(predicted[lane]?.busy_ms), limit: share(predicted[lane]?.limit_ms)}));
  laneBars(bodyOf("lanes"), rows.filter(row => row.measured > 0 || row.predicted > 0 || row.limit > 0));
}

function fillCriticalPath({prediction}) {
  const host = bodyOf("critical");
  const path = prediction.critical_path;
  const whole = path.reduce((sum, part) => sum + (part.ms ?? 0), 0) || 1;
  if (prediction.binds) setAbout("critical", `The chain of tasks that a steady step's time is made of. The lane with the longest limit is ${prediction.binds}.`);
  host.append(el("div", {class: "stack", role: "img", "aria-label": `Shares of ${formatMs(whole)}`}, path.map(part =>
    el("i", {title: `${part.what}: ${formatMs(part.ms)}`, style: {"--share": `${(part.ms ?? 0) / whole * 100}%`, "--color": laneColor(laneOf(part.what))}}))));
  const shown = path.slice(0, 12);
  const rest = path.slice(12);
  const rows = shown.map(part => [el("span", {}, swatch(laneColor(laneOf(part.what))), part.what), formatWhole(part.tasks), formatMs(part.ms), formatShare(part.ms / whole)]);
  if (rest.length > 0) {
    const ms = rest.reduce((sum, part) => sum + (part.ms ?? 0), 0);
    rows.push([`${rest.length} others`, formatWhole(rest.reduce((sum, part) => sum + (part.tasks ?? 0), 0)), formatMs(ms), formatShare(ms / whole)]);
  }
  const total = ["the step", "", formatMs(whole), ""];
  total.kind = "total";
  host.append(table([["waits for", false], ["tasks", true], ["time", true], ["share", true]], [...rows, total]));
}
