// What more would buy, what was chosen, and how long the drives last.
function fillBuys({document: extra}) {
  const buys = extra.buys;
  const most = Math.max(1e-9, ...buys.map(buy => buy.gain_percent ?? 0));
  bodyOf("buys").append(table([["with", false], ["", false, true], ["faster by", true], ["step", true]], buys.map(buy => [
    buy.what ?? "", barCell(Math.max(0, buy.gain_percent ?? 0) / most, "var(--measured)", formatSigned(buy.gain_percent)),
    el("span", {class: buy.gain_percent >= 1 ? "good" : "quiet"}, formatSigned(buy.gain_percent)), formatMs(buy.step_ms)])));
}

function fillChoices({document: extra}) {
  if (isNumber(extra.considered)) setAbout("choices", `The fastest of ${formatWhole(extra.considered)} settings that were tried.`);
  bodyOf("choices").append(table([["key", false], ["value", true]], extra.choices.map(choice => [el("code", {}, choice.key ?? ""), el("code", {}, choice.value ?? "")])));
}

function fillWear({prediction, steady}) {
  const wear = prediction?.wear ?? {};
  const rows = [];
  const add = (what, perDay) => {
    if (!isNumber(perDay)) return;
    const days = isNumber(wear.rated_terabytes) && perDay > 0 ? wear.rated_terabytes / perDay : null;
    rows.push([what, `${significant(perDay)} TB`, what === "predicted" && isNumber(wear.days) ? formatDays(wear.days) : formatDays(days)]);
  };
  add("measured", steady?.written_terabytes_a_day);
  add("predicted", wear.terabytes_a_day);
  const rated = isNumber(wear.rated_terabytes);
  bodyOf("wear").append(table([["", false], ["written a day", true], ["until the rated end", true]], rows),
    el("p", {class: "quiet"}, rated ? `The drives are rated for ${formatWhole(wear.rated_terabytes)} TB written.` : "What the drives are rated for is not known."));
}
