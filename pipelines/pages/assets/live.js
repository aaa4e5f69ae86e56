// What a page that its job serves gets while the job runs: numbers, rows, and texts as they grow.

const MOST_SHOWN = 2000;
const wall = { slots: new Map(), host: null };

function slotAt(place) {
  let slot = wall.slots.get(place);
  if (!slot) {
    slot = { label: el("b said"), text: document.createTextNode(""), box: el("div stream") };
    const words = el("div said", slot.text);
    words.dir = slot.label.dir = "auto";
    slot.box.append(slot.label, el("p", words));
    wall.slots.set(place, slot);
    wall.host.append(slot.box);
  }
  return slot;
}

function growStreams(update) {
  if (!wall.host) {
    wall.host = el("div wall");
    wall.title = el("h2", "");
    fill("streams", wall.title, wall.host);
  }
  for (const [place, [text, label, ended]] of Object.entries(update)) {
    const slot = slotAt(place);
    if (label === null) slot.text.appendData(text);
    else {
      slot.label.textContent = label;
      slot.text.data = text;
    }
    if (slot.text.length > 2 * MOST_SHOWN) slot.text.data = slot.text.data.slice(-MOST_SHOWN);
    slot.box.classList.toggle("ended", ended);
    slot.ended = ended;
  }
  const open = [...wall.slots.values()].filter((slot) => !slot.ended).length;
  wall.title.textContent = `Answers as they grow: ${count(open)} in flight`;
}

function live(data) {
  let current = data;
  const source = new EventSource("events");
  const update = (parts) => {
    current = { ...current, ...parts };
    show(current, !document.querySelector("#time svg:hover"));
  };
  source.addEventListener("numbers", (event) => update(JSON.parse(event.data)));
  source.addEventListener("rows", (event) => {
    current = { ...current, ...JSON.parse(event.data) };
    for (const part of [failures, slowest, rowBrowser]) part(current);
  });
  source.addEventListener("streams", (event) => growStreams(JSON.parse(event.data)));
  source.addEventListener("end", () => {
    source.close();
    byId("streams").hidden = true;
    update({ state: { ...current.state, running: false } });
  });
  source.addEventListener("error", () => {
    update({ state: { ...current.state, stage: "not answering: the job may have been stopped" } });
  });
}
