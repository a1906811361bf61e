// The timeline's tasks, sorted into the rows that are drawn.
//
// timelineRows(data): {rows: [{lane, what, tasks: indices in order of time, columns}], groups: [{lane, what, rows}], steps: [{step, begin}], end}
function timelineRows(data) {
  const groups = [];
  for (const lane of sortedLanes(data.lanes)) {
    for (const track of data.tracks) {
      const byRow = new Map();
      const wanted = data.lanes.indexOf(lane);
      track.tasks.lane.forEach((number, i) => {
        if (number !== wanted) return;
        const row = track.tasks.row[i];
        if (!byRow.has(row)) byRow.set(row, []);
        byRow.get(row).push(i);
      });
      if (byRow.size === 0) continue;
      const {begin} = track.tasks;
      const rows = [...byRow.entries()].sort(([a], [b]) => a - b).map(([, tasks]) => ({tasks: tasks.sort((a, b) => begin[a] - begin[b]), columns: track.tasks}));
      groups.push({lane, what: track.what, rows});
    }
  }
  return {groups, steps: stepStarts(data), end: timelineEnd(data)};
}

function timelineEnd(data) {
  let end = 0;
  for (const {tasks} of data.tracks) tasks.begin.forEach((begin, i) => { end = Math.max(end, begin + tasks.duration[i]); });
  return end || 1;
}

// Where steps begin: with their first task of the compute lane, as measured where that was.
function stepStarts(data) {
  const {tasks} = data.tracks[data.tracks.length - 1];
  const compute = data.lanes.indexOf("compute");
  const starts = new Map();
  tasks.step.forEach((step, i) => {
    if (step <= 0 || (compute >= 0 && tasks.lane[i] !== compute)) return;
    starts.set(step, Math.min(starts.get(step) ?? Infinity, tasks.begin[i]));
  });
  return [...starts].map(([step, begin]) => ({step, begin})).sort((a, b) => a.begin - b.begin);
}

// The task of a row at a time, or the nearest within `slack` ms; null where there is none.
function taskAt(row, time, slack) {
  const {begin, duration} = row.columns;
  let [low, high] = [0, row.tasks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (begin[row.tasks[middle]] <= time) low = middle + 1; else high = middle;
  }
  const away = i => Math.max(begin[row.tasks[i]] - time, time - begin[row.tasks[i]] - duration[row.tasks[i]], 0);
  const near = [low - 1, low].filter(i => i >= 0 && i < row.tasks.length).sort((a, b) => away(a) - away(b))[0];
  return near !== undefined && away(near) <= slack ? row.tasks[near] : null;
}
