/** For administrators: who is connected, and how far behind. */

import { byId, el, text, write } from "./dom.js";
import { clock, inLanguage, number, t } from "./words.js";

const EVERY_MS = 2_000;
/** Connections shown; the newest. */
const SHOWN = 100;

export function admin(link) {
  const told = byId("connections-told");
  const place = byId("connections-table");
  const wanted = byId("as-admin");
  let found;
  let failure;
  let timer;

  async function look() {
    clearTimeout(timer);
    if (!wanted.checked) return;
    if (!document.hidden) {
      try {
        found = await link.api(`/api/v1/connections?limit=${SHOWN}`, undefined, { admin: true });
        failure = undefined;
      } catch (error) {
        found = undefined;
        failure = error.code === "FORBIDDEN" ? t("connections.forbidden") : t("failed", { why: error.message || t("unreachable") });
      }
      show();
    }
    if (wanted.checked) timer = setTimeout(look, EVERY_MS);
  }

  function show() {
    place.hidden = !wanted.checked || found === undefined;
    const more = found?.next ? t("connections.more", { limit: SHOWN }) : "";
    write(told, wanted.checked ? (failure ?? more) : t("connections.off"));
    told.hidden = told.textContent === "";
    if (!place.hidden) place.replaceChildren(table(found.connections, link.sessionId));
  }

  wanted.addEventListener("change", () => {
    found = failure = undefined;
    show();
    look();
  });
  inLanguage(show);
}

function table(connections, own) {
  const keys = ["user", "transport", "connections.type", "connections.lag", "connections.owed", "connections.buffered", "connections.idle", "connections.since"];
  const heads = keys.map((key) => el("th", { scope: "col" }, t(key)));
  const rows = connections.map((one) => {
    const isOwn = one.session_id === own;
    const figure = (value) => el("td", { class: "figure" }, value);
    return el(
      "tr",
      { "data-behind": String(one.behind === true), "data-own": String(isOwn) },
      el("td", {}, text(one.user_id), ...(isOwn ? [" ", el("span", { class: "chip plain" }, t("connections.this"))] : [])),
      el("td", {}, text(one.transport)),
      el("td", {}, text(one.connection_type)),
      figure(number(one.lag)),
      figure(number(one.owed)),
      figure(`${number(one.buffered_bytes)} B`),
      figure(`${number(one.idle_seconds)} s`),
      figure(clock(Date.parse(one.connected_at))),
    );
  });
  const caption = el("caption", { class: "hidden" }, t("connections.title"));
  return el("table", { class: "connections" }, caption, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
}
