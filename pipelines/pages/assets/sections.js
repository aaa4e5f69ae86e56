// The parts of the page above the rows, each from the data of the job.

const REASONS = [
  { id: "pause", color: "red", name: "storm: the provider accepts nothing" },
  { id: "limit", color: "orange", name: "the provider's limit" },
  { id: "trial", color: "orange", name: "a trial of fewer in flight" },
  { id: "rate", color: "violet", name: "the provider's limit headers" },
  { id: "rpm", color: "violet", name: "--rpm" },
  { id: "tpm", color: "violet", name: "--tpm" },
  { id: "queue", color: "teal", name: "more would only queue" },
  { id: "noise", color: "grey", name: "noise: single refusals" },
];
const nameOfReason = (id) => (REASONS.find((reason) => reason.id === id) || { name: id }).name;

function head({ report, state }) {
  const running = state.running, bad = report.rows && !report.completed;
  const badge = state.stopped ? ["failed", "stopped"] : running ? ["running", state.stage || "running"] : bad ? ["failed", "failed"] : ["done", "done"];
  document.title = `${badge[1]}: ${report.model}`;
  const inputs = (report.input || []).slice(0, 3).join(", ") + ((report.input || []).length > 3 ? ", …" : "");
  fill("head",
    el("h1", said("span", report.model || "job"), el(`span badge ${badge[0]}`, badge[1])),
    el("p", said("span", inputs), report.started_at ? ` · first request ${day(report.started_at)}` : "",
      report.seconds ? ` · ${span(report.seconds)}` : ""));
}

function tile(title, value, ...below) {
  return el("div tile", el("h3", title), el("strong", value), below.filter(Boolean).map((line) => el("p", line)));
}

function forecast({ report, state }) {
  const sent = report.rows - report.replayed - report.shared, left = (state.total || 0) - report.rows;
  if (!state.running || left <= 0 || sent <= 0 || !isNumber(report.cost_usd)) return null;
  return `forecast ${dollars(report.cost_usd * (1 + left / sent))} for all ${rows(state.total)}`;
}

function tiles(data) {
  const { report, state } = data, t = report.tokens, earlier = report.paid_earlier;
  const known = [report.replayed && `${count(report.replayed)} from the journal`, report.shared && `${count(report.shared)} shared`];
  const cached = [t.cached_tokens && `${short(t.cached_tokens)} cached`, t.reasoning_tokens && `${short(t.reasoning_tokens)} reasoning`];
  fill("tiles",
    tile("Rows", state.total ? `${short(report.rows)} of ${short(state.total)}` : count(report.rows),
      `${count(report.completed)} completed, ${count(report.failed)} failed`, known.filter(Boolean).join(", ")),
    tile(state.running ? "Cost so far" : "Cost", dollars(report.cost_usd), forecast(data),
      report.rows_without_price ? `${rows(report.rows_without_price)} without a price` : report.attempts > 0 && "by list prices",
      earlier.rows && `earlier runs: ${dollars(earlier.cost_usd)}`,
      report.wasted.tokens && `wasted: ${dollars(report.wasted.cost_usd)}`),
    tile("Tokens out", short(t.completion_tokens), isNumber(t.prompt_tokens) && `${short(t.prompt_tokens)} in`, cached.filter(Boolean).join(", ")),
    isNumber(report.rows_per_second)
      ? tile("Speed", `${rate(report.rows_per_second)} rows/s`, isNumber(report.tokens_per_second) && `${rate(report.tokens_per_second)} tokens/s`)
      : tile("Speed", "–"),
    tile("Time to first token", span(report.ttft.p50), isNumber(report.ttft.p95) && `p95 ${span(report.ttft.p95)}`),
    tile("Time per row", span(report.seconds_per_row.p50), isNumber(report.seconds_per_row.p95) && `p95 ${span(report.seconds_per_row.p95)}`,
      report.attempts > report.rows && `${count(report.attempts)} requests`));
}

function outcomes({ report, state }) {
  const paid = report.completed - report.replayed - report.shared;
  const left = Math.max(0, (state.total || 0) - report.rows);
  const parts = [
    ["completed", paid, "blue"], ["from the journal", report.replayed, "sky"], ["shared", report.shared, "teal"],
    ["failed", report.failed, "red"], ["to do", left, "grey"],
  ].filter(([, n]) => n);
  const all = report.rows + left;
  if (!all) return fill("outcomes", el("h2", "Outcomes"), el("p note", state.running ? "No row has ended yet." : "The input has no rows."));
  const bar = el("div stack", parts.map(([name, n, color]) => {
    const part = el(`i c-${color}`);
    part.style.flexGrow = n;
    part.title = `${name}: ${count(n)}`;
    return part;
  }));
  const notes = [
    report.empty && `${count(report.empty)} completed without any content`,
    report.finish_reasons.length && `${count(report.finish_reasons.length)} cut off at the maximum length`,
    report.rows_without_usage && `the server sent no token counts for ${rows(report.rows_without_usage)}`,
  ].filter(Boolean);
  fill("outcomes", el("h2", "Outcomes"), bar,
    el("div legend", parts.map(([name, n, color]) => el(`span key c-${color}`, `${name} ${count(n)} (${share(n, all)})`))),
    notes.length ? el("p note", notes.join(" · ")) : null);
}

// Returns the points of a timeline, with those that nothing happened in, from `first` on.
function dense(line, first, empty) {
  const found = new Map(line.points.map((point) => [Math.round(point.t / line.width), point]));
  const indexes = [...found.keys()], from = Math.floor(first / line.width);
  const to = Math.max(...indexes), begin = Math.min(...indexes), all = [];
  for (let i = begin - from > 1 ? from : begin; i <= to && all.length < 400; i++) {
    all.push(found.get(i) || { t: i * line.width, ...empty });
  }
  return { points: all, xs: all.map((p) => p.t - all[0].t), width: line.width };
}

function overTime({ report, timeline, activity }) {
  const charts = [];
  if (timeline.points.length > 1) {
    const first = report.started_at ?? timeline.points[0].t;
    const { points, xs, width } = dense(timeline, first, { completed: 0, failed: 0, tokens: 0, ttft: [], gap: [] });
    // The first and the last point have less time than the others.
    const covered = points.map((p) => Math.max(width / 4, Math.min(p.t + width, report.ended_at ?? Infinity) - Math.max(p.t, first)));
    const per = (name) => points.map((p, i) => p[name] / covered[i]);
    const series = [{ name: "completed", color: "blue", kind: "area", values: per("completed") }];
    if (report.failed) series.push({ name: "failed", color: "red", values: per("failed") });
    const both = (name) => ["p50", "p95"].map((label, n) => ({
      name: label, color: n ? "orange" : "blue", values: points.map((p) => p[name][n] ?? null),
    }));
    charts.push(
      chart({ title: "Rows per second", shown: short, xs, width, series }),
      chart({ title: "Tokens per second", shown: short, xs, width, series: [{ name: "tokens/s", color: "blue", kind: "area", values: per("tokens") }] }));
    for (const [name, title] of [["ttft", "Time to first token"], ["gap", "Time between chunks"]]) {
      if (points.some((p) => isNumber(p[name][0]))) charts.push(chart({ title, shown: span, xs, width, series: both(name) }));
    }
  }
  if (activity.points.length > 1) {
    const { points, xs, width } = dense(activity, activity.points[0].t, { reasons: {} });
    const seen = new Set(points.flatMap((p) => Object.keys(p.reasons)));
    const wide = chart({
      title: "Requests in flight, and how many are allowed", shown: short, xs, width,
      series: [
        { name: "in flight", color: "blue", kind: "area", values: points.map((p) => p.in_flight ?? null) },
        { name: "allowed", color: "ink", kind: "dashed", values: points.map((p) => p.allowed ?? null) },
      ],
      bands: { keys: REASONS.filter((r) => seen.has(r.id)), at: points.map((p) => p.reasons) },
    });
    wide.classList.add("wide");
    charts.push(wide);
  }
  fill("time", charts);
}

function bars(entries, color) {
  const most = Math.max(...entries.map(([, n]) => n), 1);
  return el("div bars", entries.flatMap(([name, n, shown]) => {
    const bar = el(`i c-${color}`);
    bar.style.width = `${(100 * n) / most}%`;
    return [said("span name", name), el("span track", n ? bar : null), el("span n", shown ?? count(n))];
  }));
}

function held({ report }) {
  const { requests, share: part, by } = report.refusals;
  const waits = Object.entries(report.held_back_seconds).filter(([, s]) => s >= 0.1);
  if (!requests && !waits.length) return fill("held");
  const refused = Object.entries(by).map(([name, n]) => [nameOfReason(name), n]);
  fill("held", el("h2", "What held the job back"),
    requests ? el("p", `The provider refused ${count(requests)} requests, ${share(part, 1)} of those sent.`) : null,
    refused.length ? bars(refused, "orange") : null,
    waits.length ? el("p note", "Time in which requests waited:") : null,
    waits.length ? bars(waits.map(([name, s]) => [nameOfReason(name), s, span(s)]), "violet") : null);
}

function failures({ report, failures: samples }) {
  const classes = Object.entries(report.errors);
  if (!classes.length) return fill("failures");
  fill("failures", el("h2", "Failures"), classes.map(([name, n]) =>
    el("div group", el("p", said("b", name), ` · ${rows(n)}, ${share(n, report.rows)}`),
      el("ul", (samples[name] || []).map((row) => el("li",
        row.id ? said("b", row.id) : null, row.id ? " " : null,
        row.status ? `status ${row.status}: ` : "", row.message ? said("span", row.message) : ""))))));
}

function finishReasons({ report }) {
  const found = Object.entries(report.finish_reasons);
  if (!found.length) return fill("reasons");
  fill("reasons", el("h2", "Finish reasons"), bars(found.map(([name, n]) => [name, n, `${count(n)} (${share(n, report.completed)})`]), "blue"));
}

function lengths(data) {
  const kinds = [["Tokens of answers", data.lengths.completion], ["Tokens of prompts", data.lengths.prompt]].filter(([, found]) => found.length);
  if (!kinds.length) return fill("lengths");
  const label = ([low, high]) => (low === high ? count(low) : `${count(low)}–${count(high)}`);
  fill("lengths", kinds.map(([title, found], n) => [
    el(n ? "h2 later" : "h2", title), bars(found.map((c) => [label(c), c[2]]), "blue"),
  ]).flat());
}

function slowest({ slowest: found }) {
  if (!found.length) return fill("slowest");
  const cells = (row) => el("tr", el("td n", span(row.seconds)), el("td n", span(row.ttft)), el("td n", count(row.out)), el("td n", count(row.attempts)),
    el("td", said("span", row.reason || "")), said("td text", row.id || ""), said("td text", row.prompt || ""));
  fill("slowest", el("h2", "Slowest rows"), el("div scroll", el("table",
    el("thead", el("tr", ["time", "first token", "tokens", "attempts"].map((t) => el("th n", t)), ["finish", "row", "prompt"].map((t) => el("th", t)))),
    el("tbody", found.map(cells)))));
}

function facts({ report, state }) {
  const entries = [
    ["Model", report.model], ["Input", (report.input || []).join(", ")], ["Parameters", JSON.stringify(report.params || {})],
    ["Format", report.output_format], ["Table", report.output_table],
    ["First request", report.started_at ? day(report.started_at) : null], ["Last answer", report.ended_at ? day(report.ended_at) : null],
    ["Columns not sent", Object.entries(report.unused_columns).map(([name, remedy]) => `${name}: ${remedy}`).join("; ")],
    ["Not shown", state.missing],
  ].filter(([, text]) => text);
  fill("facts", el("h2", "Job"), el("dl facts", entries.flatMap(([name, text]) => [el("dt", name), said("dd", text)])));
}
