// Prints the events of a stream as they come, with eventsource, until it ends: URL.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const print = (event) => console.log(JSON.stringify([event.type, JSON.parse(event.data)]));
source.addEventListener("message", print);
source.addEventListener("reset", print);
source.addEventListener("end", (event) => {
  print(event);
  source.close();
});
