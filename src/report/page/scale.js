// From values to pixels, linear or logarithmic, and the ticks between.
function niceStep(span, most) {
  const raw = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 2.5, 5, 10].find(each => each * power >= raw * 0.999) ?? 10;
  return factor * power;
}

function linearScale(low, high, from, to) {
  const span = high - low || 1;
  const scale = value => from + (value - low) / span * (to - from);
  // Nice multiples of `unit`.
  scale.ticks = (most, unit = 1) => {
    const step = niceStep(span / unit, most) * unit;
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(i * step);
    return ticks;
  };
  return scale;
}

function logScale(low, high, from, to) {
  const [first, last] = [Math.log(low), Math.log(high)];
  const scale = value => from + (Math.log(value) - first) / (last - first || 1) * (to - from);
  scale.ticks = most => {
    const decades = Math.log10(high / low);
    if (decades < 0.35) return linearScale(low, high, from, to).ticks(most);
    const factors = decades > most ? [1] : decades > most / 2.5 ? [1, 3] : [1, 2, 5];
    const every = Math.max(1, Math.ceil(decades / most));
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); ++power) {
      if (power % every !== 0) continue;
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) ticks.push(value);
      }
    }
    return ticks;
  };
  return scale;
}

// Lowest and highest of what is drawn, with a little room; [0, 1] where nothing is.
function extent(values, {log = false, zero = false} = {}) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!isNumber(value) || (log && value <= 0)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return log ? [1, 10] : [0, 1];
  if (log) return low === high ? [low / 1.5, high * 1.5] : [low / (high / low) ** 0.04, high * (high / low) ** 0.04];
  if (zero) low = Math.min(low, 0);
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return [zero && low === 0 ? 0 : low - room, high + room];
}
