// The timeline's section: canvas, buttons, tooltip.
function fillTimeline(data) {
  const host = bodyOf("timeline");
  const scene = timelineRows(data.timeline);
  scene.paired = data.timeline.tracks.length > 1;
  const height = layOutGroups(scene.groups) + 14;
  const canvas = el("canvas", {tabindex: "0", role: "img", "aria-label": timelineLabel(data.timeline, scene), style: {height: `${height}px`}});
  host.append(el("div", {class: "timeline"}, canvas));
  if (scene.paired) host.prepend(legend([{label: "predicted", kind: "box outline", color: "var(--ink-2)"}, {label: "measured", kind: "box", color: "var(--ink-2)"}]));
  for (const note of data.timeline.notes) host.append(el("p", {class: "quiet"}, note));

  const size = {width: 0, height};
  let colors = null;
  let chosen = null;
  let waiting = false;
  const paint = () => {
    waiting = false;
    drawTimeline(canvas.getContext("2d"), size, view, scene, colors, data.timeline.names, chosen);
  };
  const repaint = () => {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  };
  const view = new TimelineView(scene.end, repaint);
  drawAlways(canvas.parentElement, () => {
    size.width = canvas.parentElement.clientWidth;
    const dense = devicePixelRatio || 1;
    canvas.width = Math.round(size.width * dense);
    canvas.height = Math.round(height * dense);
    canvas.getContext("2d").scale(dense, dense);
    view.narrow = size.width < 560;
    view.left = (scene.paired ? (view.narrow ? 84 : 142) : 84);
    view.width = Math.max(40, size.width - view.left);
    colors = timelineColors(data.timeline.lanes);
    paint();
  });
  const choose = found => {
    if (found?.task === chosen?.task && found?.columns === chosen?.columns) return;
    chosen = found;
    repaint();
  };
  watchTimeline(canvas, view, (x, y, event) => {
    const found = x < view.left ? null : findTask(scene, view, x, y);
    choose(found);
    if (found) showTooltip(event.clientX, event.clientY, ...taskText(data.timeline, found)); else hideTooltip();
  }, () => { choose(null); hideTooltip(); });
  addTimelineButtons(view);
}

function findTask(scene, view, x, y) {
  const group = scene.groups.find(one => y >= one.y - 1 && y <= one.y + one.height + 1);
  const row = group?.rows[Math.max(0, Math.min(group.rows.length - 1, Math.floor((y - group.y) / (group.rowHeight + 1))))];
  const task = row ? taskAt(row, view.time(x), view.span / view.width * 2) : null;
  return task === null ? null : {lane: group.lane, what: group.what, columns: row.columns, task};
}

function taskText(timeline, {lane, what, columns, task}) {
  const [duration, bytes, step] = [columns.duration[task], columns.bytes[task], columns.step[task]];
  const rows = [{name: "lane", value: `${lane}, ${what}`}];
  if (step > 0) rows.push({name: "step", value: String(step)});
  rows.push({name: "took", value: formatMs(duration)}, {name: "from", value: formatMs(columns.begin[task])});
  if (bytes > 0) rows.push({name: "bytes", value: formatBytes(bytes)});
  if (bytes > 0 && duration > 0) rows.push({name: "rate", value: formatRate(bytes / duration * 1000)});
  return [el("strong", {}, timeline.names[columns.name[task]] || lane), tooltipRows(rows)];
}

function addTimelineButtons(view) {
  const button = (text, label, act) => {
    const made = el("button", {type: "button", "aria-label": label, title: label}, text);
    made.addEventListener("click", act);
    return made;
  };
  document.getElementById("timeline").append(el("div", {class: "controls", role: "group", "aria-label": "Zoom"},
    button("−", "Zoom out", () => view.zoom(2)), button("+", "Zoom in", () => view.zoom(0.5)), button("All", "Show all", () => view.showAll())));
}

function timelineLabel(timeline, scene) {
  const counts = timeline.tracks.map(track => `${track.tasks.begin.length} ${track.what}`).join(" and ");
  const steps = scene.steps.map(({step}) => step);
  return `Timeline of ${counts} tasks over ${formatMs(scene.end)}, lanes ${sortedLanes(timeline.lanes).join(", ")}` +
    `${steps.length > 0 ? `, steps ${steps[0]} to ${steps[steps.length - 1]}` : ""}. Plus and minus zoom, arrow keys move, 0 shows all.`;
}
