// One tooltip for the page.
const tooltip = document.getElementById("tooltip");

function showTooltip(x, y, ...content) {
  tooltip.replaceChildren(...content);
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth - 8 ? x - 14 - box.width : x + 14;
  const top = y + 16 + box.height > innerHeight - 8 ? y - 12 - box.height : y + 16;
  tooltip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
}

function hideTooltip() { tooltip.hidden = true; }

// Lines of a name and a value, the name with a colour where it has one.
function tooltipRows(rows) {
  return el("div", {class: "rows"}, rows.flatMap(({name, value, color}) =>
    [el("span", {}, color ? swatch(color) : null, name), el("span", {}, value)]));
}

addEventListener("scroll", hideTooltip, {passive: true});
