// Draws the timeline's rows on its canvas.
const timelineAxis = 26;  // pixels, of the axis above the rows

// Gives each group its place; returns the height of all.
function layOutGroups(groups) {
  let y = timelineAxis + 4;
  groups.forEach((group, i) => {
    const first = i === 0 || groups[i - 1].lane !== group.lane;
    if (i > 0) y += first ? 9 : 3;
    group.first = first;
    group.rowHeight = group.rows.length > 12 ? 5 : group.rows.length > 5 ? 8 : group.rows.length > 2 ? 12 : 17;
    group.y = y;
    group.height = Math.max(17, group.rows.length * (group.rowHeight + 1) - 1);
    y += group.height;
  });
  return y + 8;
}

// Colours as the page's style has them now.
function timelineColors(lanes) {
  const style = getComputedStyle(document.documentElement);
  const of = name => style.getPropertyValue(name).trim();
  const lane = Object.fromEntries(lanes.map(name => [name, of(`--lane-${laneNames.includes(name) ? name : "other"}`)]));
  const onLane = Object.fromEntries(Object.entries(lane).map(([name, color]) => [name, textOn(color)]));
  return {lane, onLane, ink: of("--ink"), quiet: of("--ink-3"), soft: of("--ink-2"), line: of("--line"), strong: of("--line-2"), card: of("--card"), track: of("--track")};
}

// White, unless that could hardly be read on `color` (#rrggbb).
function textOn(color) {
  const linear = at => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
  return 1.05 / (luminance + 0.05) >= 3.4 ? "#ffffff" : "#16191d";
}

function drawTimeline(context, size, view, scene, colors, names, chosen) {
  context.clearRect(0, 0, size.width, size.height);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  drawTimeAxis(context, size, view, colors);
  for (const group of scene.groups) drawGroup(context, size, view, group, colors, names, chosen);
  drawSteps(context, size, view, scene.steps, colors);
  for (const group of scene.groups) drawGroupLabel(context, view, group, colors, scene.paired);
}

function drawTimeAxis(context, size, view, colors) {
  const scale = linearScale(view.begin, view.begin + view.span, view.left, view.left + view.width);
  const ticks = scale.ticks(Math.max(2, Math.floor(view.width / 110)));
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10((ticks[1] ?? 2) - (ticks[0] ?? 1)) - 1e-9)));
  const seconds = view.span > 5e3;
  context.textAlign = "center";
  for (const time of ticks) {
    const x = Math.round(scale(time)) + 0.5;
    context.strokeStyle = colors.line;
    context.beginPath();
    context.moveTo(x, timelineAxis);
    context.lineTo(x, size.height);
    context.stroke();
    context.fillStyle = colors.quiet;
    const text = seconds ? `${trimZeros((time / 1000).toFixed(Math.min(6, digits + 3)))} s` : `${time.toFixed(digits)} ms`;
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.max(view.left + half, Math.min(view.left + view.width - half, x)), timelineAxis - 10);
  }
}

function drawSteps(context, size, view, steps, colors) {
  context.textAlign = "left";
  let free = -Infinity;
  for (const {step, begin} of steps) {
    const x = Math.round(view.x(begin)) + 0.5;
    if (x < view.left || x > view.left + view.width) continue;
    context.strokeStyle = colors.soft;
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(x, timelineAxis - 2);
    context.lineTo(x, size.height - 14);
    context.stroke();
    context.setLineDash([]);
    if (x < free) continue;
    const text = `step ${step}`;
    const width = context.measureText(text).width;
    context.fillStyle = colors.card;
    context.fillRect(x + 2, size.height - 14, width + 6, 14);
    context.fillStyle = colors.soft;
    context.fillText(text, x + 4, size.height - 7);
    free = x + width + 12;
  }
}

function drawGroup(context, size, view, group, colors, names, chosen) {
  const right = view.left + view.width;
  context.save();
  context.beginPath();
  context.rect(view.left, group.y - 1, view.width, group.height + 2);
  context.clip();
  group.rows.forEach((row, r) => {
    const y = group.y + r * (group.rowHeight + 1);
    context.fillStyle = colors.track;
    context.globalAlpha = 0.6;
    context.fillRect(view.left, y, view.width, group.rowHeight);
    context.globalAlpha = 1;
    drawRow(context, view, right, row, y, group, colors, names, chosen);
  });
  context.restore();
}

function drawRow(context, view, right, row, y, group, colors, names, chosen) {
  const {begin, duration, name} = row.columns;
  const predicted = group.what === "predicted";
  const color = colors.lane[group.lane];
  const text = predicted ? colors.ink : colors.onLane[group.lane];
  let drawn = -1;  // the last pixel with something in it
  for (const i of row.tasks) {
    const x = view.x(begin[i]);
    if (x > right) break;
    const end = Math.max(x + 1, view.x(begin[i] + duration[i]));
    if (end < view.left || (end <= drawn && end - x <= 1)) continue;
    drawn = Math.floor(end);
    const [from, to] = [Math.max(view.left - 2, x), Math.min(right + 2, end)];
    const wide = to - from > 3;
    const outlined = predicted && to - from > 7;
    context.fillStyle = color;
    context.globalAlpha = predicted ? (outlined ? 0.32 : 0.55) : 1;
    context.fillRect(from, y, wide ? to - from - 0.8 : to - from, group.rowHeight);
    context.globalAlpha = 1;
    if (outlined) {
      context.strokeStyle = color;
      context.lineWidth = 1;
      context.strokeRect(from + 0.5, y + 0.5, to - from - 1.8, group.rowHeight - 1);
    }
    if (chosen && chosen.columns === row.columns && chosen.task === i) {
      context.strokeStyle = colors.ink;
      context.lineWidth = 2;
      context.strokeRect(from + 1, y + 1, Math.max(1, to - from - 2.8), group.rowHeight - 2);
      context.lineWidth = 1;
    }
    if (group.rowHeight >= 12 && to - from > 26) drawTaskName(context, names[name[i]], Math.max(view.left, from) + 4, to - 4, y + group.rowHeight / 2 + 0.5, text);
  }
}

// As much of the name as there is room for; nothing where that says little.
function drawTaskName(context, name, from, to, y, color) {
  const letters = Math.floor((to - from) / 5.6);
  if (letters < Math.min(11, name.length)) return;
  context.fillStyle = color;
  context.textAlign = "left";
  context.fillText(name.length <= letters ? name : `${name.slice(0, letters - 1)}…`, from, y);
}

function drawGroupLabel(context, view, group, colors, paired) {
  const y = group.y + Math.min(group.height, 17) / 2 + 0.5;
  context.textAlign = "left";
  if (group.first) {
    context.fillStyle = colors.lane[group.lane];
    context.fillRect(0, group.y, 3, 17);
    context.fillStyle = colors.ink;
    context.fillText(group.lane, 9, y);
  }
  if (!paired) return;
  context.textAlign = "right";
  context.fillStyle = colors.quiet;
  context.fillText(view.narrow ? group.what[0] : group.what, view.left - 8, y);
}
