// What a reader wants to know first: the line below the title, and the tiles.
function fillSummary(data) {
  document.getElementById("subtitle").textContent = subtitleParts(data).join(" · ");
  const tiles = data.source === "run" ? runTiles(data) : planTiles(data);
  document.getElementById("tiles").append(...tiles.filter(Boolean).map(({label, value, unit, detail}) =>
    el("div", {class: "tile", role: "listitem"}, el("div", {class: "label"}, label),
      el("div", {class: "value"}, value, unit ? el("small", {}, ` ${unit}`) : null), el("div", {class: "detail"}, detail ?? "\u00a0"))));
}

function subtitleParts(data) {
  const {model, train, memory} = data.config ?? {};
  const parts = [];
  if (isNumber(data.run.parameters)) parts.push(`${formatCount(data.run.parameters)} parameters`);
  if (model?.family) parts.push(`${model.family}, ${model.layers} layers of ${model.hidden}`);
  if (train?.micro_batches) parts.push(`${train.micro_batches} × ${train.micro_batch_size} × ${train.sequence_length} tokens a step`);
  if (train?.dtype) parts.push(train.dtype);
  if (memory?.device) parts.push(`on ${memory.device}`);
  const machine = data.prediction?.machine || data.run.machine?.cpu;
  if (machine) parts.push(machine);
  return parts;
}

// "66.0k" and "tokens/s" of "66.0k tokens/s".
function tile(label, text, detail) {
  const at = text.indexOf(" ");
  return at < 0 ? {label, value: text, detail} : {label, value: text.slice(0, at), unit: text.slice(at + 1), detail};
}

function runTiles({steps, steady, prediction}) {
  if (!steps) return [tile("Steps", "0", "none has ended yet")];
  const trouble = [[steps.skipped, "skipped"], [steps.loss_lost, "without a finite loss"]].filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return [
    tile("Steps", formatWhole(steps.last), trouble.join(", ") || (steps.first > 1 ? `shown from ${steps.first}` : undefined)),
    isNumber(steps.last_loss) ? tile("Loss", formatNumber(steps.last_loss, 5), steps.validation ? `validation ${formatNumber(steps.validation.last, 5)}` : "of the last step") : null,
    isNumber(steady.tokens_per_second) ? tile("Throughput", formatTokens(steady.tokens_per_second), "median of steady steps") : null,
    isNumber(steady.step_ms) ? tile("Step time", formatMs(steady.step_ms), isNumber(steady.predicted_ms) ? `predicted ${formatMs(steady.predicted_ms)}, ${formatSigned(steady.predicted_error_percent)}` : "median of steady steps") : null,
    prediction?.binds ? {label: "What binds", value: prediction.binding ?? prediction.binds, detail: bindsDetail(prediction)} : null,
    isNumber(steady.ssd_read_bytes) ? tile("SSD reads a step", formatBytes(steady.ssd_read_bytes), `written ${formatBytes(steady.ssd_write_bytes)}`) : null];
}

// The lane, or what several of them share.
function bindsDetail(prediction) {
  const shared = Object.values(prediction.shared ?? {}).map(resource => resource.limit_ms ?? 0);
  const limit = (prediction.binding ?? prediction.binds) === prediction.binds ? prediction.lanes?.[prediction.binds]?.limit_ms : Math.max(...shared);
  return isNumber(limit) && prediction.step_ms > 0 ? `${formatShare(limit / prediction.step_ms)} of the step` : undefined;
}

function planTiles({prediction, document: extra, memory}) {
  const bytes = tier => memory.filter(row => row.tier === tier).reduce((sum, row) => sum + (row.bytes ?? 0), 0);
  return [
    tile("Throughput", formatTokens(prediction.tokens_per_second), "predicted"),
    tile("Step time", formatMs(prediction.step_ms), isNumber(prediction.tokens) ? `${formatWhole(prediction.tokens)} tokens a step` : undefined),
    isNumber(prediction.micro_batches) ? tile("Micro-batches", String(prediction.micro_batches), extra.saturation?.micro_batches ? `saturated at ${extra.saturation.micro_batches}` : undefined) : null,
    isNumber(prediction.delay) ? tile("Delay", String(prediction.delay), "of the optimizer step") : null,
    prediction.binds ? {label: "What binds", value: prediction.binding ?? prediction.binds, detail: bindsDetail(prediction)} : null,
    prediction.ssd ? tile("SSD reads a step", formatBytes(prediction.ssd.read_bytes), `written ${formatBytes(prediction.ssd.write_bytes)}`) : null,
    memory.length > 0 ? tile("Host memory", formatBytes(bytes("host")), `device ${formatBytes(bytes("device"))}`) : null];
}
