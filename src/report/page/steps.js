// Step time, predicted beside measured, and throughput.
const everyText = steps => steps.every > 1 ? ` Each point is the mean of ${steps.every} steps.` : "";

function fillSteps(data) {
  if (data.steps?.step_ms) return fillMeasuredSteps(data);
  const first = data.prediction.first_steps_ms;
  const at = first.map((_, i) => i + 1);
  setAbout("steps", "Predicted, until it is steady.");
  const host = bodyOf("steps").appendChild(el("div", {class: "chart"}));
  lineChart(host, () => ({
    series: [{label: "predicted", color: "var(--predicted)", x: at, y: first, dots: true}], ticksX: at, zero: true,
    formatX: String, formatY: formatMs, titleX: step => `step ${step}`, axisX: "step", axisY: "time of a step",
    label: `Predicted time of the first ${first.length} steps, at last ${formatMs(first[first.length - 1])}.`}));
}

function fillMeasuredSteps({steps, steady}) {
  const {step, step_ms: measured, predicted_ms: predicted} = steps;
  const errors = predicted ? predicted.map((value, i) => isNumber(value) && measured[i] > 0 ? (value / measured[i] - 1) * 100 : null) : null;
  const host = bodyOf("steps");
  setAbout("steps", (predicted ? `In the median the prediction is ${formatSigned(steady.predicted_error_percent)} off.` : "As measured.") + everyText(steps));
  const series = [{label: "measured", color: "var(--measured)", x: step, y: measured}];
  if (predicted) series.push({label: "predicted", color: "var(--predicted)", x: step, y: predicted, dashed: true});
  host.append(legend(series.map(({label, color, dashed}) => ({label, color, kind: dashed ? "dashed" : ""}))));
  const axis = {formatX: formatWhole, titleX: value => `step ${formatWhole(value)}`, axisX: "step"};
  lineChart(host.appendChild(el("div", {class: "chart"})), () => ({
    ...axis, series, zero: true, formatY: formatMs, axisY: "time of a step",
    more: at => errors && isNumber(errors[step.indexOf(at)]) ? [{name: "error", value: formatSigned(errors[step.indexOf(at)])}] : [],
    label: `Step time over ${steps.count} steps: median ${formatMs(steady.step_ms)}${predicted ? `, predicted ${formatMs(steady.predicted_ms)}` : ""}.`}));
  if (!errors) return;
  host.append(el("h3", {}, "Error of the prediction"));
  lineChart(host.appendChild(el("div", {class: "chart", style: {height: "150px"}})), () => ({
    ...axis, series: [{label: "error", color: "var(--predicted)", x: step, y: errors}], zero: true, domainY: errorDomain(errors),
    formatY: formatSigned, axisY: "predicted over measured",
    label: `Error of the predicted step time, in the median ${formatSigned(steady.predicted_error_percent)}.`}));
}

// Symmetric about 0, and not blown up by single steps: three times the error that nine of ten stay under, or all where that is less.
function errorDomain(errors) {
  const sizes = errors.filter(isNumber).map(Math.abs).sort((a, b) => a - b);
  const most = Math.max(2, Math.min(3 * sizes[Math.floor(sizes.length * 0.9)], sizes[sizes.length - 1])) * 1.1;
  return [-most, most];
}

function fillThroughput({steps, steady}) {
  setAbout("throughput", `Median of steady steps: ${formatTokens(steady.tokens_per_second)}.${everyText(steps)}`);
  lineChart(bodyOf("throughput").appendChild(el("div", {class: "chart"})), () => ({
    series: [{label: "throughput", color: "var(--measured)", x: steps.step, y: steps.tokens_per_second, formatY: formatTokens}], zero: true,
    formatX: formatWhole, formatY: formatCount, titleX: value => `step ${formatWhole(value)}`, axisX: "step", axisY: "tokens/s",
    label: `Throughput over ${steps.count} steps: median ${formatTokens(steady.tokens_per_second)}.`}));
}
