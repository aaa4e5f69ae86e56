// Shows the answers that began lately. POST /streams takes the positions that the page has, and
// answers with lines of JSON: what each answer has gained since. So the page needs one connection,
// and goes on exactly where it was when the connection is lost. Texts are added as text only.
(() => {
"use strict";
const MOST_CARDS = 100;
const QUIET = 40_000; // milliseconds without a byte after which the connection counts as lost
const MOST_PAUSE = 5_000;
const cards = new Map(); // by id
const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const headers = token ? { Authorization: `Bearer ${token}` } : {};
let connection = null; // aborts the request that runs
let delay = 500; // milliseconds until the next attempt to connect
let wake = () => {};

function add(parent, name, kind, text = "") {
  const made = parent.appendChild(document.createElement(name));
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function say(text, away = false) {
  $("connection").textContent = text;
  $("connection").classList.toggle("away", away);
}

class Card {
  constructor(id) {
    this.id = id;
    this.position = "";
    this.growing = true;
    this.root = document.createElement("article");
    const head = add(this.root, "header");
    add(head, "h2", "", id).title = id;
    this.button = add(head, "button", "", "Stop");
    this.button.type = "button";
    this.button.setAttribute("aria-label", `Stop ${id}`);
    this.button.onclick = () => this.stop();
    this.note = add(this.root, "p", "state");
    this.details = add(this.root, "details");
    add(this.details, "summary", "", "Reasoning");
    this.parts = {
      reasoning: this.part(this.details, "reasoning"),
      text: this.part(this.root, "text"),
      calls: this.part(this.root, "calls"),
    };
    this.clear();
  }
  part(parent, kind) {
    const box = add(parent, "pre", kind);
    box.tabIndex = 0; // so that the keyboard can scroll it
    return { box, node: box.appendChild(document.createTextNode("")) };
  }
  clear() {
    for (const { box, node } of Object.values(this.parts)) {
      node.data = "";
      box.hidden = true;
    }
    this.details.hidden = true;
    this.show("growing", "growing");
  }
  append(name, text) {
    const { box, node } = this.parts[name];
    if (!text) return;
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
    node.appendData(text);
    box.hidden = false;
    if (name === "reasoning") this.details.hidden = false;
    if (atEnd) box.scrollTop = box.scrollHeight;
  }
  show(kind, text) {
    this.growing = kind === "growing";
    this.root.className = kind;
    this.note.textContent = text;
    this.button.hidden = !this.growing;
    if (!this.growing) this.button.disabled = false;
  }
  take(line) {
    if (line.reset) this.clear();
    if (line.position) this.position = line.position;
    this.append("reasoning", line.reasoning);
    this.append("text", line.text);
    for (const call of line.tool_calls ?? []) {
      const { name, arguments: given } = call?.function ?? {};
      if (name) this.append("calls", `${this.parts.calls.node.data ? "\n" : ""}${name} `);
      if (given) this.append("calls", String(given));
    }
    if (line.gone) this.show("failed", "the stream has disappeared");
    if (line.end) this.show(line.end.outcome, outcome(line.end));
    if (line.end || line.gone) this.button.disabled = false;
  }
  async stop() {
    this.button.disabled = true;
    this.note.textContent = "stopping";
    let problem = "";
    try {
      const path = `/streams/${encodeURIComponent(this.id)}/stop`;
      const response = await fetch(path, { method: "POST", headers });
      if (!response.ok) problem = await reason(response);
    } catch {
      problem = "the server cannot be reached";
    }
    if (problem && this.growing) {
      this.note.textContent = `not stopped: ${problem}`;
      this.button.disabled = false;
    }
  }
}

function outcome(end) {
  const words = [end.outcome];
  if (end.error_type) words.push(end.error_type);
  else if (end.finish_reason && !["stop", end.outcome].includes(end.finish_reason)) words.push(end.finish_reason);
  if (Number.isFinite(end.usage?.completion_tokens)) words.push(`${end.usage.completion_tokens} tokens`);
  return words.join(" · ");
}

async function reason(response) {
  try {
    return String((await response.json()).error.message);
  } catch {
    return `status ${response.status}`;
  }
}

// A prompt that could not be sent stays in the box. The id makes it safe to send it again.
let unsent = null;
async function ask() {
  const prompt = $("prompt").value.trim();
  if (!prompt || $("send").disabled) return;
  if (unsent?.prompt !== prompt) unsent = { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, prompt };
  $("send").disabled = true;
  let problem = "";
  try {
    const json = { ...headers, "Content-Type": "application/json" };
    const response = await fetch("/prompts", { method: "POST", headers: json, body: JSON.stringify(unsent) });
    if (!response.ok) problem = await reason(response);
  } catch {
    problem = "the server cannot be reached";
  }
  $("asked").textContent = problem && `not sent: ${problem}`;
  if (!problem) unsent = $("prompt").value = "";
  $("send").disabled = false;
  $("prompt").focus();
}

// A position begins with the order of its submission: the newest answer comes first.
function place(card) {
  const order = card.position.slice(0, 16);
  if (order === card.order) return;
  card.order = order;
  const others = [...$("streams").children].filter((root) => root !== card.root);
  const after = others.find((root) => root.card.order < order);
  $("streams").insertBefore(card.root, after ?? null);
}

function take(line) {
  let card = cards.get(line.id);
  if (!card) {
    card = new Card(line.id);
    card.root.card = card;
    cards.set(line.id, card);
    $("empty").hidden = true;
  }
  card.take(line);
  place(card);
  const roots = [...$("streams").children].reverse();
  for (const { card: old } of roots) {
    if (cards.size <= MOST_CARDS) break;
    if (old.growing || old === card) continue;
    old.root.remove();
    cards.delete(old.id);
  }
}

async function follow() {
  const control = (connection = new AbortController());
  let quiet = 0;
  const heard = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => control.abort(), QUIET);
  };
  heard();
  try {
    const positions = Object.fromEntries([...cards].map(([id, card]) => [id, card.position]));
    const body = JSON.stringify({ positions });
    const options = { method: "POST", headers, body, signal: control.signal };
    const response = await fetch("/streams", options);
    if (!response.ok) throw new Error(await reason(response), { cause: response.status });
    say("live");
    delay = 500;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) take(JSON.parse(line));
    }
  } finally {
    clearTimeout(quiet);
    control.abort();
  }
}

function pause(msec) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, msec);
  });
}

function problem(error) {
  if (!navigator.onLine) return "offline: the page goes on when the network is back";
  if (error?.cause === 401) return `${error.message}: open this page as /#token=TOKEN, with a token of --sign_all`;
  return `${error?.cause ? error.message : "the server is away"}; trying again`;
}

async function run() {
  for (;;) {
    try {
      await follow();
      say("the server has ended the connection; trying again", true);
    } catch (error) {
      say(problem(error), true);
    }
    await pause(delay);
    delay = Math.min(delay * 2, MOST_PAUSE);
  }
}

$("ask").onsubmit = (event) => {
  event.preventDefault();
  ask();
};
$("prompt").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
};
addEventListener("offline", () => connection?.abort());
addEventListener("online", () => wake());
addEventListener("hashchange", () => location.reload());
run();
})();
