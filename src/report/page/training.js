// Loss, gradient norm and learning rate over steps.
const stepAxis = {formatX: formatWhole, titleX: value => `step ${formatWhole(value)}`, axisX: "step"};

// A chart that can be switched to a logarithmic axis; `describe(log)` as lineChart() wants it.
function switchedChart(section, kind, log, describe) {
  const host = bodyOf(section).appendChild(el("div", {class: `chart ${kind}`}));
  let chosen = log;
  const redraw = lineChart(host, () => describe(chosen === "log"));
  choiceButtons(section, "Scale", [["linear", "Linear"], ["log", "Log"]], log, value => {
    chosen = value;
    redraw();
  });
}

function fillLoss({steps}) {
  const series = [];
  if (steps.loss) series.push({label: "training", color: "var(--measured)", x: steps.step, y: steps.loss});
  if (steps.validation) series.push({label: "validation", color: "var(--lane-optimizer)", x: steps.validation.step, y: steps.validation.loss, points: true});
  setAbout("loss", `Mean over a step's tokens, in nats.${everyText(steps)}`);
  bodyOf("loss").append(legend(series.map(({label, color, points}) => ({label, color, kind: points ? "point" : ""}))));
  const label = `Loss over ${steps.count} steps${isNumber(steps.last_loss) ? `, at last ${formatNumber(steps.last_loss)}` : ""}${steps.validation ? `; validation ${formatNumber(steps.validation.last)}` : ""}.`;
  switchedChart("loss", "tall", "linear", log => ({
    ...stepAxis, series: series.map(one => ({...one, formatY: value => formatNumber(value, 5)})), log, formatY: value => formatNumber(value), axisY: "loss", label}));
}

function fillGradNorm({steps}) {
  const series = [{label: "gradient norm", color: "var(--measured)", x: steps.step, y: steps.grad_norm}];
  const known = steps.grad_norm.filter(isNumber);
  switchedChart("grad_norm", "", "log", log => ({
    ...stepAxis, series, log, zero: true, formatY: value => formatNumber(value), axisY: "L2 norm",
    label: `Gradient norm over ${steps.count} steps, at last ${formatNumber(known[known.length - 1])}.`}));
}

function fillLearningRate({steps}) {
  lineChart(bodyOf("learning_rate").appendChild(el("div", {class: "chart"})), () => ({
    ...stepAxis, series: [{label: "learning rate", color: "var(--measured)", x: steps.step, y: steps.learning_rate}], zero: true,
    formatY: value => formatNumber(value, 3), axisY: "learning rate", label: `Learning rate over ${steps.count} steps.`}));
}
