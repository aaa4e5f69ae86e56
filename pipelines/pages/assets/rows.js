// The browser of rows: a list that is searched as one types, in which a row opens to its texts.

const PAGE_OF_ROWS = 25;
const COLORS = { completed: "blue", failed: "red", journal: "teal", shared: "teal" };
const browser = { rows: [], state: "", search: "", shown: PAGE_OF_ROWS };

// Returns `text` with the matches of the search marked.
function marked(text) {
  const wanted = browser.search, low = text.toLowerCase();
  if (!wanted || low.length !== text.length) return [text];
  const parts = [];
  let at = 0;
  for (let next; parts.length < 400 && (next = low.indexOf(wanted, at)) >= 0; at = next + wanted.length) {
    parts.push(text.slice(at, next), el("mark", text.slice(next, next + wanted.length)));
  }
  return [...parts, text.slice(at)];
}

function words(kind, text) {
  const node = said(kind, "");
  return add(node, marked(text));
}

// Returns the beginning of `text`, from a little before the first match on.
function glimpse(text) {
  const at = browser.search ? text.toLowerCase().indexOf(browser.search) : 0;
  const start = at > 60 ? at - 30 : 0;
  return (start ? "…" : "") + text.slice(start, start + 300).replace(/\s+/g, " ");
}

function rowOf(row) {
  const line = el("summary", el(`span state c-${COLORS[row.state] || "grey"}`, row.state),
    words("span", glimpse(row.prompt || row.id || "")), words("span", glimpse(row.answer || row.message || row.reason || "")),
    el("span num", [isNumber(row.out) && `${count(row.out)} tok`, isNumber(row.seconds) && span(row.seconds)].filter(Boolean).join(" · ")));
  const item = el("details row", line);
  item.addEventListener("toggle", () => {
    if (item.open && item.children.length === 1) item.append(...opened(row));
  });
  return item;
}

function opened(row) {
  const facts = [
    ["row", row.id], ["at", row.place !== row.id && row.place], ["model", row.model], [row.state === "failed" ? "error" : "finish", row.reason],
    ["status", row.status], ["tokens in", row.in], ["out", row.out], ["first token", isNumber(row.ttft) && span(row.ttft)],
    ["time", isNumber(row.seconds) && span(row.seconds)], ["cost", isNumber(row.cost) && dollars(row.cost)], ["attempts", row.attempts],
  ].filter(([, value]) => value || value === 0);
  const texts = [["Prompt", row.prompt], [row.state === "failed" ? "Received so far" : "Answer", row.answer]].filter(([, text]) => text);
  return [
    el("dl", facts.map(([name, value]) => el("div", el("dt", name), said("dd", String(value))))),
    row.message ? words("p", row.message) : "",
    el("div texts", texts.map(([name, text]) => el("div", el("h3", name), words("pre", text)))),
  ];
}

function matches(row) {
  if (browser.state && row.state !== browser.state) return false;
  if (!browser.search) return true;
  return [row.id, row.prompt, row.answer, row.message, row.reason].some((text) => text && text.toLowerCase().includes(browser.search));
}

function listRows() {
  const found = browser.rows.filter(matches), list = byId("row-list");
  list.replaceChildren(...found.slice(0, browser.shown).map(rowOf));
  byId("row-count").textContent = `${count(found.length)} of ${rows(browser.rows.length)}`;
  byId("row-more").hidden = found.length <= browser.shown;
}

function rowBrowser(data) {
  browser.rows = data.rows;
  if (!data.rows.length) return fill("rows");
  const all = data.report.rows, part = data.rows.length < all;
  const about = (part ? `A random sample of ${rows(data.rows.length)} of ${count(all)}. ` : "") +
    (data.text === "none" ? "This page has no texts of rows (--report_text none)." : data.cut_at ? `Texts are cut at ${count(data.cut_at)} characters.` : "");
  if (byId("row-list")) {
    byId("row-about").textContent = about;
    if (!document.querySelector("#rows details[open]")) listRows();
    return;
  }
  const search = el("input"), states = el("select"), more = el("button more", "Show more"), counted = el("span note");
  search.type = "search";
  search.placeholder = "Search prompts and answers";
  search.setAttribute("aria-label", search.placeholder);
  states.setAttribute("aria-label", "Outcome");
  for (const [value, name] of [["", "all outcomes"], ["completed", "completed"], ["failed", "failed"], ["journal", "from the journal"], ["shared", "shared"]]) {
    const option = el("option", name);
    option.value = value;
    states.append(option);
  }
  const choose = () => {
    Object.assign(browser, { search: search.value.toLowerCase(), state: states.value, shown: PAGE_OF_ROWS });
    listRows();
  };
  search.addEventListener("input", choose);
  states.addEventListener("change", choose);
  more.addEventListener("click", () => {
    browser.shown += PAGE_OF_ROWS * 4;
    listRows();
  });
  const list = el("div"), aboutLine = el("p note", about);
  Object.assign(list, { id: "row-list" });
  Object.assign(more, { id: "row-more", type: "button" });
  Object.assign(counted, { id: "row-count" });
  Object.assign(aboutLine, { id: "row-about" });
  fill("rows", el("h2", "Prompts and answers"), el("div tools", search, states, counted), list, more, aboutLine);
  listRows();
}
