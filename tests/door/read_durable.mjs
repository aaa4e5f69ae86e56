// Prints the messages of a stream as they come, with @durable-streams/client: URL MODE.
import { stream } from "@durable-streams/client";

const [url, mode] = process.argv.slice(2);
const live = mode === "true" ? true : mode;
const answer = await stream({ url, offset: "-1", live });
for await (const message of answer.jsonStream()) console.log(JSON.stringify(message));
