// Numbers as people read them, always with their unit.
const isNumber = value => typeof value === "number" && Number.isFinite(value);

// With `digits` significant digits and no exponent where one can do without.
function significant(value, digits = 3) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(Math.max(0, digits - 1)).replace("e+", "e").replace(/\.?0+e/, "e");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(decimals, 12));
}

// "3k" for "3.00k", of a tick.
const trimZeros = text => text.replace(/(\.\d*?)0+(?!\d)/, (_, kept) => kept === "." ? "" : kept);

// The unit that formatBytes() shows the number in.
const byteUnit = bytes => 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, bytes)) / Math.log(1024)));
const formatNumber = (value, digits = 4) => isNumber(value) ? significant(value, digits) : "–";

function scaled(value, units, base, digits = 3) {
  let unit = 0;
  let rest = value;
  while (Math.abs(rest) >= base * 0.9995 && unit + 1 < units.length) {
    rest /= base;
    ++unit;
  }
  return (unit === 0 && Number.isInteger(rest) ? String(rest) : significant(rest, Math.abs(rest) >= 1000 ? 4 : digits)) + units[unit];
}

const formatBytes = bytes => isNumber(bytes) ? scaled(bytes, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"], 1024) : "–";
const formatRate = bytes => isNumber(bytes) ? scaled(bytes, [" B/s", " kB/s", " MB/s", " GB/s", " TB/s"], 1000) : "–";
const formatCount = count => isNumber(count) ? scaled(count, ["", "k", "M", "G", "T"], 1000) : "–";
const formatTokens = rate => isNumber(rate) ? `${formatCount(rate)} tokens/s` : "–";
const formatWhole = count => isNumber(count) ? count.toLocaleString("en", {maximumFractionDigits: 0}) : "–";

function formatMs(ms) {
  if (!isNumber(ms)) return "–";
  const size = Math.abs(ms);
  if (size === 0) return "0 ms";
  if (size < 1) return `${significant(ms * 1000)} µs`;
  if (size < 1000) return `${significant(ms)} ms`;
  if (size < 120e3) return `${significant(ms / 1000)} s`;
  if (size < 7200e3) return `${significant(ms / 60e3)} min`;
  return `${significant(ms / 3600e3)} h`;
}

const formatShare = share => isNumber(share) ? `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)}%` : "–";
const formatSigned = percent => isNumber(percent) ? percent === 0 ? "0%" : `${percent < 0 ? "−" : "+"}${significant(Math.abs(percent), Math.abs(percent) < 1 ? 2 : 3)}%` : "–";

function formatDays(days) {
  if (!isNumber(days)) return "–";
  if (days >= 730) return `${significant(days / 365.25)} years`;
  if (days >= 2) return `${significant(days)} days`;
  return `${significant(days * 24)} hours`;
}
