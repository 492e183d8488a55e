/** Faults on demand, for the page's own connection; the connection limit holds for every new one. */

import { byId, el, write } from "./dom.js";
import { inLanguage, t } from "./words.js";

const FAULTS = {
  delay: "delay:300ms-1500ms",
  drop: "drop:0.3",
  duplicate: "duplicate:0.5",
  slow: "slow:1kb",
  "close:1006": "close:1006",
  "close:1011": "close:1011",
  "close:1013": "close:1013",
  expire: "expire",
  "limit:messages": "limit:messages",
  "limit:connections": "limit:connections",
};
const AWAY_SECONDS = 5;
const FOR_EVERYONE = new Set(["limit:connections"]);

export function faults(link, setup) {
  const told = byId("fault-state");
  let active = "";
  let everyone = "";
  let failure;

  function show() {
    const lines = [];
    if (failure !== undefined) lines.push(t("failed", { why: failure }));
    if (active) lines.push(t("fault.active", { fault: active }));
    if (everyone) lines.push(t("fault.everyone", { fault: everyone }));
    write(told, lines.join(" ") || t("fault.none"));
    told.dataset.active = String(Boolean(active || everyone));
  }

  async function attempt(act) {
    failure = undefined;
    try {
      await act();
    } catch (error) {
      failure = error.message || t("unreachable");
    }
    show();
  }

  const inject = (fault) =>
    attempt(async () => {
      if (FOR_EVERYONE.has(fault)) {
        await link.api("/api/v1/faults", { fault, everyone: true }, { admin: true });
        everyone = fault;
        link.cut();
      } else {
        await link.api("/api/v1/faults", { fault, session_id: link.sessionId });
        // What ends the connection at once has ended it, and itself, by now.
        active = link.state === "open" && !/^(close|expire)[^@]*$/.test(fault) ? fault : "";
      }
    });

  byId("cut").addEventListener("click", () => link.cut());
  byId("away").addEventListener("click", () => link.cut(AWAY_SECONDS));
  byId("fault-tools").hidden = told.hidden = !setup.development;
  byId("faults-forbidden").hidden = setup.development;
  for (const [name, fault] of Object.entries(FAULTS)) {
    const label = el("span");
    inLanguage(() => write(label, t(`fault.${name}`)));
    byId("fault-buttons").append(
      el("button", { type: "button", "data-fault": name, onclick: () => inject(fault) }, label, el("code", {}, fault)),
    );
  }
  byId("fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    inject(byId("fault").value.trim());
  });
  byId("end-faults").addEventListener("click", () =>
    attempt(async () => {
      if (everyone) await link.api("/api/v1/faults", { fault: "", everyone: true }, { admin: true });
      if (active) await link.api("/api/v1/faults", { fault: "", session_id: link.sessionId });
      active = everyone = "";
    }),
  );
  // A fault is of one connection; the next one has none.
  link.addEventListener("lost", () => {
    active = "";
    show();
  });
  inLanguage(show);
}
