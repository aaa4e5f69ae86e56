// Elements and numbers. All text goes into the page as text nodes: no function here takes HTML.

const byId = (id) => document.getElementById(id);

function add(node, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

// Returns an element; the words of `kind` are the tag and the classes: "td n".
function el(kind, ...children) {
  const [tag, ...classes] = kind.split(" ");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  return add(node, children);
}

// Returns an element with text that others wrote: its direction is its own.
function said(kind, text) {
  const node = el(`${kind} said`, text);
  node.dir = "auto";
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return add(node, children);
}

function fill(id, ...children) {
  const node = byId(id);
  node.replaceChildren();
  node.hidden = !children.flat().length;
  return add(node, children);
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function count(n) {
  return isNumber(n) ? n.toLocaleString("en-US", { maximumFractionDigits: 0 }) : "–";
}

function rows(n) {
  return `${count(n)} ${n === 1 ? "row" : "rows"}`;
}

function short(n) {
  if (!isNumber(n)) return "–";
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    const scaled = n / (letter === "k" ? 1e3 : size);
    if (n >= size) return `${Number(scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0))}${letter}`;
  }
  return rate(n);
}

function rate(n) {
  if (!isNumber(n)) return "–";
  const digits = n >= 100 || Number.isInteger(n) ? 0 : n >= 10 ? 1 : n >= 0.1 ? 2 : 3;
  return n.toLocaleString("en-US", { maximumFractionDigits: digits });
}

function dollars(usd) {
  if (!isNumber(usd)) return "not known";
  const digits = usd >= 100 || usd === 0 ? 2 : usd >= 0.01 ? 4 : 6;
  return "$" + usd.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: digits });
}

function span(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const all = Math.round(seconds), hours = Math.floor(all / 3600);
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor((all % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)} h` : `${minutes}:${two(all % 60)} min`;
}

function share(part, whole) {
  const percent = whole ? (100 * part) / whole : 0;
  return `${percent.toFixed(percent >= 1 || !percent ? (percent > 99 && percent < 100 ? 1 : 0) : 1)} %`;
}

function day(time) {
  return isNumber(time) ? new Date(time * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC" : "–";
}
