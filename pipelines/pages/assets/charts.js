// Charts over time, as SVG that is drawn again when the width of the page changes.

const HEIGHT = 168, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 22;

function niceStep(most, parts) {
  const rough = most / parts, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((n) => n * power).find((step) => step >= rough);
}

function timeStep(seconds, parts) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const rough = seconds / parts;
  return steps.find((step) => step >= rough) || Math.ceil(rough / 86400) * 86400;
}

function clock(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600), minutes = Math.floor((seconds % 3600) / 60);
  return hours ? `${hours}:${two(minutes)} h` : `${minutes}:${two(seconds % 60)}`;
}

// A chart has `title`, `shown` (a number as text), `xs` (the start of each point in seconds since
// the first), `width` (the seconds of a point), `series` of {name, color, values, kind}, and perhaps
// `bands`: the reasons at each point, drawn as a strip below.
function chart(spec) {
  const legend = spec.series.length > 1 || spec.bands
    ? el("div legend", spec.series.map((s) => el(`span key c-${s.color}`, s.name)),
        (spec.bands ? spec.bands.keys : []).map((k) => el(`span key c-${k.color}`, k.name)))
    : null;
  const host = el("div");
  const card = el("section card chart", el("header", el("h3", spec.title), legend), host);
  const redraw = () => host.replaceChildren(plot(spec, Math.max(240, host.clientWidth || 560)));
  let width = 0;
  new ResizeObserver(() => {
    if (host.clientWidth !== width) {
      width = host.clientWidth;
      redraw();
    }
  }).observe(host);
  return card;
}

function plot(spec, width) {
  const strip = spec.bands ? 14 : 0, height = HEIGHT + strip;
  const { xs, series } = spec, end = xs[xs.length - 1] + spec.width;
  const x = (t) => LEFT + ((width - LEFT - RIGHT) * t) / end;
  const middle = (i) => x(xs[i] + spec.width / 2);
  const most = Math.max(...series.flatMap((s) => s.values.filter(isNumber)), 0) || 1;
  const step = niceStep(most, 3), top = Math.ceil(most / step - 1e-9) * step;
  const y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / top);
  const image = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": spec.title });
  for (let v = 0; v <= top + step / 2; v += step) {
    image.append(draw("line", { class: v ? "gridline" : "base", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }));
    image.append(draw("text", { x: LEFT - 7, y: y(v) + 4, "text-anchor": "end" }, spec.shown(v)));
  }
  const apart = timeStep(end, Math.max(2, width / 110));
  for (let t = 0; t <= end; t += apart) {
    const anchor = t && x(t) > width - 40 ? "end" : t ? "middle" : "start";
    image.append(draw("text", { x: x(t), y: height - 5, "text-anchor": anchor }, clock(t)));
  }
  for (const one of series) image.append(...traces(one, middle, y));
  if (spec.bands) image.append(...stripOf(spec, x));
  image.append(hover(spec, image, middle, y, width, height));
  return image;
}

// Returns the parts of a series: lines between neighbours, and a dot where there is none.
function traces(one, middle, y) {
  const parts = [], found = [];
  let run = [];
  one.values.concat([null]).forEach((value, i) => {
    if (isNumber(value)) {
      run.push([middle(i), y(value)]);
    } else if (run.length) {
      parts.push(run);
      run = [];
    }
  });
  for (const points of parts) {
    const path = points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L");
    if (points.length === 1) {
      found.push(draw("circle", { class: `dot c-${one.color}`, cx: points[0][0], cy: points[0][1], r: 3.5 }));
      continue;
    }
    if (one.kind === "area") {
      const ends = `L${points[points.length - 1][0].toFixed(1)},${y(0)}L${points[0][0].toFixed(1)},${y(0)}Z`;
      found.push(draw("path", { class: `area c-${one.color}`, d: `M${path}${ends}` }));
    }
    found.push(draw("path", { class: `line ${one.kind === "dashed" ? "dashed " : ""}c-${one.color}`, d: `M${path}` }));
  }
  return found;
}

function stripOf(spec, x) {
  return spec.xs.flatMap((start, i) => {
    let at = HEIGHT - BOTTOM + 4;
    return spec.bands.keys.flatMap((key) => {
      const part = (spec.bands.at[i] || {})[key.id] || 0, height = 9 * Math.min(1, part);
      if (!part) return [];
      const box = draw("rect", {
        class: `fill c-${key.color}`, x: x(start), y: at, height, width: Math.max(1, x(start + spec.width) - x(start) - 0.5),
      });
      at += height;
      return [box];
    });
  });
}

function hover(spec, image, middle, y, width, height) {
  const marks = draw("g", {});
  const target = draw("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height, fill: "transparent" });
  const tip = byId("tip");
  target.addEventListener("pointerleave", () => {
    tip.hidden = true;
    marks.replaceChildren();
  });
  target.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect(), at = event.clientX - box.left;
    const i = spec.xs.reduce((best, _, n) => (Math.abs(middle(n) - at) < Math.abs(middle(best) - at) ? n : best), 0);
    marks.replaceChildren(draw("line", { class: "cross", x1: middle(i), x2: middle(i), y1: TOP, y2: HEIGHT - BOTTOM }));
    for (const one of spec.series) {
      if (isNumber(one.values[i])) {
        marks.append(draw("circle", { class: `dot c-${one.color}`, cx: middle(i), cy: y(one.values[i]), r: 4 }));
      }
    }
    const held = spec.bands ? spec.bands.keys.filter((k) => (spec.bands.at[i] || {})[k.id]) : [];
    tip.replaceChildren(
      el("div", `after ${clock(Math.round(spec.xs[i]))}`),
      ...spec.series.map((s) => el("div", el(`span key c-${s.color}`, s.name), el("b", isNumber(s.values[i]) ? spec.shown(s.values[i]) : "–"))),
      ...held.map((k) => el("div", el(`span key c-${k.color}`, k.name), el("b", share(spec.bands.at[i][k.id], 1)))),
    );
    tip.hidden = false;
    const left = event.clientX + 14 + tip.offsetWidth > innerWidth ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.min(innerHeight - tip.offsetHeight - 4, event.clientY + 14)}px`;
  });
  return draw("g", {}, marks, target);
}
