/** The state of the connection in words: the pill at the top and the list of facts. */

import { announce, byId, onFrame, write } from "./dom.js";
import { inLanguage, number, t } from "./words.js";

/** Characters of an id that are shown; the whole stands in its title. */
const SHOWN = 12;
const NAMES = { websocket: "WebSocket", sse: "SSE", poll: "long polling" };

export function facts(link) {
  const show = onFrame(() => {
    byId("state").dataset.state = link.state;
    write(byId("state-text"), sentence(link));
    write(byId("fact-user"), link.userId ?? "–");
    showId("session", link.sessionId);
    showId("cursor", link.cursor);
    write(byId("fact-latency"), link.latency === undefined ? "–" : `${number(link.latency, link.latency < 10 ? 1 : 0)} ms`);
    for (const [name, count] of Object.entries(link.counts)) write(byId(`fact-${name}`), number(count));
    const recovered = byId("fact-recovered");
    recovered.dataset.recovered = String(link.recovered);
    write(recovered, link.recovered === undefined ? "–" : t(link.recovered ? "recovery.yes" : "recovery.no"));
  });

  link.addEventListener("change", show);
  link.addEventListener("lost", ({ detail }) => announce(t("said.waiting", { why: detail.reason ?? "" })));
  link.addEventListener("back", ({ detail }) => {
    announce(detail.resumed ? t("said.replayed", { count: detail.replayed }) : t("said.open"));
  });
  setInterval(() => (link.state === "waiting" || link.state === "connecting") && show(), 250);
  inLanguage(show);
}

function sentence(link) {
  if (link.state === "open") return t("state.open", { transport: NAMES[link.transport] ?? "" });
  const away = (link.awayUntil - Date.now()) / 1000;
  if (away > 0) return t("state.away", { seconds: number(away, 1) });
  if (link.state === "closed") return `${t("state.closed")}: ${link.reason ?? ""}`;
  if (link.state !== "waiting") return t(`state.${link.state}`);
  if (link.retryAt === undefined) return t("state.connecting");
  return t("state.waiting", { seconds: number(Math.max(0, (link.retryAt - Date.now()) / 1000), 1) });
}

function showId(name, id) {
  const node = byId(`fact-${name}`);
  const short = id === undefined ? "–" : id.length > SHOWN ? `${id.slice(0, 5)}…${id.slice(-6)}` : id;
  write(node, short);
  node.title = id ?? "";
}
