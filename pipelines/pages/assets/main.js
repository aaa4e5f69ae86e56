// Shows the data of the page, and what a job that runs sends later.

function show(data) {
  for (const part of [head, tiles, outcomes, overTime, held, failures, finishReasons, lengths, slowest, rowBrowser, facts]) part(data);
}

show(JSON.parse(byId("data").textContent));
