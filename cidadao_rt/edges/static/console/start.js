/** The form that starts an investigation. */

import { byId, el, write } from "./dom.js";
import { inLanguage, t } from "./words.js";

/** Calls `started(message)` with the message that answers the start. */
export function start(link, setup, started) {
  const error = byId("start-error");
  const agents = byId("agents");
  for (const { id, name, role } of setup.agents) {
    const box = el("input", { type: "checkbox", name: "agent", value: id, checked: setup.team.includes(id) });
    agents.append(el("label", { class: "choice", title: role, lang: "pt-BR" }, box, el("span", {}, name)));
  }
  const scenario = byId("scenario");
  const usual = el("option", { value: "" });
  scenario.append(usual, ...setup.scenarios.map((name) => el("option", { value: name }, name)));
  inLanguage(() => write(usual, t("scenario.default", { name: setup.scenario })));

  byId("start").addEventListener("input", () => write(error, ""));
  byId("start").addEventListener("submit", async (event) => {
    event.preventDefault();
    write(error, "");
    const [from, to, least] = ["from", "to", "least"].map((id) => byId(id).value);
    if (Boolean(from) !== Boolean(to) || from > to) {
      write(error, t("start.range"));
      byId(from ? "to" : "from").focus();
      return;
    }
    const filters = {};
    if (from) filters.date_range = `${from}/${to}`;
    if (least) filters.min_value = Number(least);
    if (scenario.value) filters.scenario = scenario.value;
    const chosen = [...agents.querySelectorAll("input:checked")].map(({ value }) => value);
    try {
      started(await begin(link, byId("query").value, filters, chosen.length ? chosen : undefined));
      byId("query").value = "";
    } catch (failure) {
      write(error, t("failed", { why: failure.message }));
    }
  });
}

export function begin(link, query, filters, agents) {
  return link.send("start_investigation", { query, filters, agents });
}
