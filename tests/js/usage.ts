// What an app in TypeScript writes; compiled, never run.

import {
  ClosedError,
  CommandError,
  RefusedError,
  connect,
  type Message,
} from "../../cidadao_rt/edges/static/client.js";

const rt = connect(new URL("https://rt.example"), {
  token: async () => (await fetch("/token")).text(),
  connectionType: "investigation",
  transports: ["websocket", "poll"],
  WebSocket,
});
rt.addEventListener("investigation_update", (event) => console.log(event.detail.data.progress + 1));
rt.addEventListener("status", ({ detail }) =>
  console.log(detail.state === "waiting" ? detail.retryIn : detail.transport),
);
rt.addEventListener("a_type_of_mine", (event) => console.log(event.detail.data.anything));
await rt.opened;
const investigation = await rt.startInvestigation("Merenda", { filters: { min_value: 1 }, agents: ["zumbi"] });
for await (const update of investigation) console.log(update.type, investigation.status);
const answer = await rt.chat("drummond", "Oi", { onChunk: (content, index) => console.log(content.length, index) });
const words: string = answer.message;
for await (const event of rt) handle(event);
rt.send("ping").catch((error) => error instanceof CommandError && console.log(error.code, error.details.limit));
function handle(event: Message): void {
  if (event.type === "connection_established") console.log(words, rt.recovered, rt.cursor);
}
const refused: ClosedError = new RefusedError(1008, "Invalid token");
// @ts-expect-error A transport nobody has.
connect("/", { transports: ["carrier pigeon"] });
// @ts-expect-error The id is not for the app to change.
investigation.id = refused.reason;
rt.close();
