// Prints an answer as it grows, with the AI SDK: npm install ai, then
//   node examples/read_answer.mjs http://127.0.0.1:8080/streams q1 [TOKEN]
// It reads what `python -m pipelines.serve_deltas` serves.
import { DefaultChatTransport, readUIMessageStream } from "ai";

const [api, id, token] = process.argv.slice(2);
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const transport = new DefaultChatTransport({
  headers,
  prepareReconnectToStreamRequest: () => ({ api: `${api}/${encodeURIComponent(id)}/stream` }),
});
const stream = await transport.reconnectToStream({ chatId: id });

let shown = "";
for await (const message of stream === null ? [] : readUIMessageStream({ stream })) {
  // After a part "data-reset", the answer has begun anew.
  const start = message.parts.findLastIndex((part) => part.type === "data-reset") + 1;
  const text = message.parts
    .slice(start)
    .map((part) => (part.type === "text" ? part.text : ""))
    .join("");
  process.stdout.write(text.startsWith(shown) ? text.slice(shown.length) : `\n${text}`);
  shown = text;
}
console.log(stream === null ? "(no answer is growing)" : "");
