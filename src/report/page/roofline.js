// Throughput against micro-batches, under each lane's limit.
function fillRoofline(data) {
  const batches = [...data.document.batches].filter(one => one.micro_batches > 0).sort((a, b) => a.micro_batches - b.micro_batches);
  const at = batches.map(one => one.micro_batches);
  const achieved = batches.map(one => one.tokens_per_second);
  const limits = sortedLanes(batches.flatMap(one => Object.keys(one.limits ?? {})));
  const highest = Math.max(...achieved.filter(isNumber));
  const shown = limits.filter(lane => batches.some(one => isNumber(one.limits?.[lane]) && one.limits[lane] <= highest * 8));
  const series = [
    ...shown.map(lane => ({label: `${lane} limit`, color: laneColor(lane), x: at, y: batches.map(one => one.limits?.[lane])})),
    {label: "throughput", color: "var(--ink)", x: at, y: achieved, strong: true, dots: true}];
  const host = bodyOf("roofline");
  const far = limits.filter(lane => !shown.includes(lane));
  host.append(legend(series.map(({label, color, strong}) => ({label, color, kind: strong ? "strong" : ""})).reverse()));
  lineChart(host.appendChild(el("div", {class: "chart tall"})), () => ({
    series, log: true, logX: true, ticksX: at, domainY: rooflineDomain(batches, shown, achieved, highest),
    formatX: String, formatY: formatCount, titleX: value => `${value} micro-batches`, axisX: "micro-batches a step", axisY: "tokens/s",
    marks: rooflineMarks(data), more: value => batchRows(batches[at.indexOf(value)]),
    label: `Predicted throughput from ${at[0]} to ${at[at.length - 1]} micro-batches, at most ${formatTokens(highest)}.`}));
  if (far.length > 0) host.append(el("p", {class: "quiet"}, `Out of sight above: the limits of ${far.join(", ")}.`));
}

const batchRows = batch => [{name: "step time", value: formatMs(batch?.step_ms)}, {name: "tokens a step", value: formatWhole(batch?.tokens)}];

// Down to the lowest point, up to what is near enough to matter.
function rooflineDomain(batches, lanes, achieved, highest) {
  const limits = lanes.flatMap(lane => batches.map(one => one.limits?.[lane])).filter(value => isNumber(value) && value <= highest * 8);
  return extent([...achieved, ...limits], {log: true});
}

function rooflineMarks({prediction, document: extra}) {
  const marks = [];
  const [here, saturated] = [prediction?.micro_batches, extra.saturation?.micro_batches];
  if (isNumber(here)) marks.push({x: here, label: here === saturated ? `this config: ${here}, saturated` : `this config: ${here}`});
  if (isNumber(saturated) && saturated !== here) marks.push({x: saturated, label: `saturated: ${saturated}`});
  return marks;
}
