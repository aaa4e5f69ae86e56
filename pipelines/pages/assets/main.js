// Shows the data of the page, and what a job that runs sends later.

function show(data, withCharts) {
  for (const part of [head, tiles, outcomes, held, failures, finishReasons, lengths, slowest, rowBrowser, facts]) part(data);
  if (withCharts) overTime(data);
}

const data = JSON.parse(byId("data").textContent);
show(data, true);
if (data.state.live) live(data);
