/** Notifications, the newest first. */

import { byId, el, text, write } from "./dom.js";
import { clock, inLanguage, t } from "./words.js";

/** Kept on the page; past it the oldest goes. */
const KEPT = 100;
const LEVELS = new Set(["info", "success", "warning", "error", "critical"]);

export function notifications(link) {
  const list = byId("notification-list");
  const full = byId("notifications-full");
  const clear = byId("notifications-clear");

  function show() {
    const none = list.childElementCount === 0;
    byId("notifications-none").hidden = !none;
    list.hidden = clear.hidden = none;
  }

  link.addEventListener("message", ({ detail: { type, data } }) => {
    if (type !== "notification") return;
    const level = LEVELS.has(data.level) ? data.level : "info";
    const label = el("span", { class: "level", "data-level-text": level }, t(`level.${level}`));
    list.prepend(
      el(
        "li",
        { class: "notice", "data-level": level },
        el("p", { class: "when" }, label, " · ", el("time", {}, clock(Date.now()))),
        el("p", { class: "what", lang: "pt-BR" }, el("strong", {}, text(data.title)), " ", text(data.message)),
      ),
    );
    while (list.childElementCount > KEPT) {
      list.lastElementChild.remove();
      full.hidden = false;
    }
    show();
  });
  clear.addEventListener("click", () => {
    list.replaceChildren();
    full.hidden = true;
    show();
    byId("notifications-title").closest("section").querySelector("h2").scrollIntoView({ block: "nearest" });
  });
  inLanguage(() => {
    write(full, t("notifications.full", { limit: KEPT }));
    for (const label of list.querySelectorAll("[data-level-text]")) write(label, t(`level.${label.dataset.levelText}`));
  });
  show();
}
