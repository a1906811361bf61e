// Elements, and the names and colours of lanes. Text goes in as text nodes only: nothing of a file is read as HTML.
const svgSpace = document.getElementById("svg").namespaceURI;

function fillElement(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") {
      for (const [property, setting] of Object.entries(value)) element.style.setProperty(property, setting);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

const el = (tag, attributes = {}, ...children) => fillElement(document.createElement(tag), attributes, children);
const svgEl = (tag, attributes = {}, ...children) => fillElement(document.createElementNS(svgSpace, tag), attributes, children);

// The part of a section that scripts fill; null where the page is without that section.
const bodyOf = id => document.querySelector(`#${id} > .body`);
const setAbout = (id, text) => { document.querySelector(`#${id} > .about`).textContent = text; };

const laneNames = ["compute", "h2d", "d2h", "ssd_read", "ssd_write", "optimizer", "collective", "commit"];
const laneColor = lane => `var(--lane-${laneNames.includes(lane) ? lane : "other"})`;
const laneOrder = lane => laneNames.includes(lane) ? laneNames.indexOf(lane) : laneNames.length;
const sortedLanes = lanes => [...new Set(lanes)].sort((a, b) => laneOrder(a) - laneOrder(b) || (a < b ? -1 : 1));

// The lane that a text such as "ssd_read read" begins with.
const laneOf = text => String(text).split(" ")[0];

const swatch = color => el("span", {class: "swatch", style: {"--color": color}, "aria-hidden": "true"});

function legend(entries) {
  return el("ul", {class: "legend"}, entries.map(({label, color, kind}) =>
    el("li", {}, el("span", {class: `key ${kind ?? ""}`, style: {"--color": color ?? "var(--ink)"}, "aria-hidden": "true"}), label)));
}

// Heads are [text, isNumber, whether bars are below it]; cells are text, numbers' text or elements.
function table(heads, rows) {
  const side = i => heads[i][1] ? "number" : null;
  return el("div", {class: "scroll"}, el("table", {},
    el("thead", {}, el("tr", {}, heads.map(([text], i) => el("th", {scope: "col", class: heads[i][2] ? "with-bar" : side(i)}, text)))),
    el("tbody", {}, rows.map(cells => el("tr", {class: cells.kind}, cells.map((cell, i) =>
      cell instanceof HTMLTableCellElement ? cell : el("td", {class: side(i)}, cell)))))));
}

// A cell with a bar of `share` (0..1) of its width.
function barCell(share, color, label) {
  return el("td", {class: "with-bar"}, el("div", {class: "bar", title: label},
    el("i", {style: {"--share": `${Math.max(0, Math.min(1, share)) * 100}%`, "--color": color}})));
}

// Buttons of which one is pressed, in the section's corner. `choose` gets the value.
function choiceButtons(section, label, choices, chosen, choose) {
  const buttons = choices.map(([value, text]) => el("button", {type: "button", "aria-pressed": String(value === chosen), "data-value": value}, text));
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      choose(button.dataset.value);
    });
  }
  document.getElementById(section).append(el("div", {class: "controls", role: "group", "aria-label": label}, buttons));
}

// Calls `draw` now, and when the width of `host` or the colours change.
function drawAlways(host, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    draw();
  }).observe(host);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
  width = host.clientWidth;
  draw();
}
