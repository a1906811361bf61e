// The config and the notes, as text.
function fillConfig({config}) {
  const plain = Object.entries(config).filter(([, value]) => !isSection(value));
  const sections = Object.entries(config).filter(([, value]) => isSection(value));
  const parts = plain.length > 0 ? [configPart("", Object.fromEntries(plain))] : [];
  bodyOf("config").append(el("div", {class: "config"}, ...parts, ...sections.map(([name, entries]) => configPart(`[${name}]`, entries))));
}

const isSection = value => value !== null && typeof value === "object" && !Array.isArray(value);

function configPart(title, entries) {
  return el("div", {}, title ? el("h3", {}, title) : null,
    el("dl", {}, Object.entries(entries).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, configText(value))])));
}

function configText(value) {
  if (typeof value === "string") return value === "" ? '""' : value;
  if (Array.isArray(value)) return `[${value.map(configText).join(", ")}]`;
  if (isSection(value)) return `{ ${Object.entries(value).map(([key, inner]) => `${key} = ${configText(inner)}`).join(", ")} }`;
  return String(value);
}

function fillNotes({notes}) {
  bodyOf("notes").append(...notes.map(note => el("li", {}, note)));
}
