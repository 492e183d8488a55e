/** The chat with any agent: an answer grows while it is streamed, and its final message stands for it. */

import { announce, byId, el, text, write } from "./dom.js";
import { inLanguage, t } from "./words.js";

/** Messages kept on the page; past it the oldest goes. */
const KEPT = 200;
const SUGGESTIONS = 6;

export class Chat {
  #link;
  #agents;
  #log = byId("chat-log");
  #about;
  #invite = el("p", { class: "empty" });

  constructor(link, setup, agents) {
    this.#link = link;
    this.#agents = agents;
    const voice = byId("voice");
    for (const { id, name } of setup.agents) voice.append(el("option", { value: id, selected: id === setup.voice }, name));
    this.#log.append(this.#invite);
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const said = byId("said");
      this.#say(voice.value, said.value);
      said.value = "";
    });
    inLanguage(() => {
      write(this.#invite, t("chat.invite"));
      write(byId("chat-full"), t("chat.full", { limit: KEPT }));
      this.about(this.#about);
    });
  }

  /** Let what is said next be about this investigation; about nothing without one. */
  about(investigation) {
    this.#about = investigation;
    const told = byId("chat-about");
    told.hidden = investigation === undefined;
    if (investigation === undefined) return told.replaceChildren();
    told.replaceChildren(
      el("span", {}, t("chat.about", { query: text(investigation.query) || investigation.id })),
      el("button", { type: "button", class: "quiet", "aria-label": t("chat.about.end"), onclick: () => this.about(undefined) }, "×"),
    );
  }

  async #say(agent, message) {
    const name = this.#agents.get(agent)?.name ?? agent;
    this.#invite.remove();
    this.#bubble("mine", t("chat.you"), message);
    const { bubble, body } = this.#bubble("theirs", name, "");
    bubble.setAttribute("aria-busy", "true");
    const context = this.#about === undefined ? undefined : { investigation_id: this.#about.id };
    try {
      const answer = await this.#link.chat(agent, message, {
        context,
        onChunk: (content) => {
          body.append(content);
          this.#follow();
        },
      });
      write(body, text(answer.message));
      this.#suggest(bubble, agent, answer.suggested_actions);
      announce(t("said.answer", { name, message: text(answer.message) }));
    } catch (error) {
      bubble.classList.add("broken");
      write(body, t("failed", { why: error.message }));
      announce(body.textContent);
    }
    bubble.removeAttribute("aria-busy");
    this.#follow();
  }

  #suggest(bubble, agent, actions) {
    if (!Array.isArray(actions) || actions.length === 0) return;
    const buttons = actions.slice(0, SUGGESTIONS).map((action) => {
      const words = text(action);
      return el("button", { type: "button", class: "suggestion", onclick: () => this.#say(agent, words) }, words);
    });
    bubble.append(el("div", { class: "suggestions" }, ...buttons));
  }

  #bubble(kind, name, words) {
    const body = el("p", { lang: "pt-BR" }, words);
    const bubble = el("div", { class: `bubble ${kind}` }, el("p", { class: "who" }, name), body);
    this.#log.append(bubble);
    while (this.#log.childElementCount > KEPT) {
      this.#log.firstElementChild.remove();
      byId("chat-full").hidden = false;
    }
    this.#follow();
    return { bubble, body };
  }

  #follow() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}
