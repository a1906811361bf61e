// The same work, scheduled in other ways.
function fillSideBySide(data) {
  const ways = data.document.side_by_side;
  const fastest = Math.max(...ways.map(way => way.tokens_per_second ?? 0)) || 1;
  const first = ways[0].tokens_per_second;
  bodyOf("side_by_side").append(table(
    [["schedule", false], ["throughput", false, true], ["tokens/s", true], ["of the first", true], ["step", true], ["micro-batches", true], ["read a step", true], ["written a step", true], ["binds", false]],
    ways.map(way => [
      way.name ?? "", barCell((way.tokens_per_second ?? 0) / fastest, laneColor(way.binds), formatTokens(way.tokens_per_second)), formatCount(way.tokens_per_second),
      first > 0 ? `${significant(way.tokens_per_second / first)}×` : "–", formatMs(way.step_ms), String(way.micro_batches ?? "–"),
      formatBytes(way.ssd?.read_bytes), formatBytes(way.ssd?.write_bytes), el("span", {class: "name"}, swatch(laneColor(way.binds)), way.binds ?? "–")])));
  if (ways.some(way => way.lanes)) bodyOf("side_by_side").append(el("h3", {}, "Busy share by lane"), busyTable(ways));
}

function busyTable(ways) {
  const lanes = sortedLanes(ways.flatMap(way => Object.keys(way.lanes ?? {}))).filter(lane => ways.some(way => way.lanes?.[lane]?.busy_ms > 0));
  return table([["schedule", false], ...lanes.map(lane => [lane, true])], ways.map(way => [way.name ?? "", ...lanes.map(lane => {
    const busy = way.lanes?.[lane]?.busy_ms;
    return isNumber(busy) && way.step_ms > 0 ? formatShare(busy / way.step_ms) : "–";
  })]));
}
