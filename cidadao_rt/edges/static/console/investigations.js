/** Investigations: what is known of each, from events, snapshots and the read side, and a card for it. */

import { announce, byId, el, onFrame, text, write } from "./dom.js";
import { inLanguage, knows, number, percent, t } from "./words.js";

/** Shown at once; past it the oldest goes, first of those that are over. */
const SHOWN = 50;
/** Findings shown of one investigation; what comes later is counted alone. */
const FINDINGS = 300;
const PAGE = 500;
const STAGES = ["data_collection", "anomaly_detection", "pattern_analysis", "report_generation"];
const FINAL = new Set(["completed", "failed", "cancelled"]);
const LEVELS = new Set(["high", "medium", "low"]);

/** Calls `about(investigation)` when a person wants to ask about one. */
export class Investigations {
  #link;
  #agents;
  #about;
  #all = new Map();
  #list = byId("investigation-list");
  #trimmed = false;
  #show = onFrame(() => this.#render());

  constructor(link, agents, about) {
    this.#link = link;
    this.#agents = agents;
    this.#about = about;
    link.addEventListener("message", ({ detail }) => this.take(detail));
    inLanguage(() => {
      for (const one of this.#all.values()) one.told = undefined;
      this.#show();
    });
  }

  get running() {
    return [...this.#all.values()].filter(({ status }) => !FINAL.has(status)).length;
  }

  /** Read what there is already; after a loss, what stands now. Throws `Problem`. */
  async read() {
    const before = [...this.#all.keys()];
    const { investigations, next } = await this.#link.api(`/api/v1/investigations?limit=${SHOWN}&shared=1`);
    const there = new Set(investigations.map((found) => found.investigation_id));
    // What the gateway no longer knows, perhaps because it is another one by now, will never end here.
    if (next === null) for (const id of before) if (!there.has(id)) this.#remove(this.#all.get(id));
    for (const found of investigations.reverse()) {
      this.#update(found);
      // What came live meanwhile may stand in another order.
      this.#list.prepend(this.#get(found.investigation_id).card.article);
    }
    const newest = this.#all.get(investigations.at(-1)?.investigation_id);
    if (newest && !this.#list.querySelector("details[open]")) newest.card.details.open = true;
    const open = [...this.#all.values()].filter((one) => one.card.details.open);
    await Promise.all(open.map((one) => this.#load(one)));
  }

  /** Take in one message, if it is about an investigation. */
  take({ type, data, id }) {
    if (typeof data?.investigation_id !== "string") return;
    const isNew = !this.#all.has(data.investigation_id);
    if (type === "investigation_update") this.#update(data);
    else if (type === "progress_update") this.#update({ ...data, progress: data.overall_progress });
    else if (type === "agent_analysis") this.#found(this.#get(data.investigation_id), data, id);
    if (isNew) this.#feature(this.#all.get(data.investigation_id));
  }

  #get(id) {
    let one = this.#all.get(id);
    if (one === undefined) {
      one = { id, status: "started", progress: 0, stages: {}, findings: [], count: 0, seen: new Set() };
      one.card = this.#card(one);
      this.#all.set(id, one);
      this.#list.prepend(one.card.article);
      this.#forget();
    }
    return one;
  }

  /** What came last is what one wants to see; of the others, only what still runs stays open. */
  #feature(one) {
    if (one === undefined) return;
    for (const other of this.#all.values()) if (FINAL.has(other.status)) other.card.details.open = false;
    one.card.details.open = true;
  }

  #update(data) {
    const one = this.#get(data.investigation_id);
    const wasFinal = FINAL.has(one.status);
    for (const key of ["status", "current_agent", "message", "query", "agents", "simulated"]) {
      if (data[key] !== undefined && data[key] !== null) one[key] = data[key];
    }
    if (typeof data.progress === "number") one.progress = Math.max(one.progress, data.progress);
    for (const stage of STAGES) if (typeof data.stages?.[stage] === "number") one.stages[stage] = data.stages[stage];
    if (FINAL.has(one.status) && !wasFinal) {
      if (one.watched) announce(t(`said.${one.status}`, { query: text(one.query) }));
    }
    this.#show();
  }

  #found(one, { agent, findings }, id) {
    // The past is read from the history and also comes as events; each is told apart by its id.
    if (id !== undefined && one.seen.has(id)) return;
    if (id !== undefined) one.seen.add(id);
    for (const finding of Array.isArray(findings) ? findings : []) {
      one.count++;
      if (one.findings.length < FINDINGS) one.findings.push({ ...finding, agent });
    }
    this.#show();
  }

  async #load(one) {
    if (one.loading) return;
    one.loading = true;
    try {
      let after = "";
      let page;
      do {
        page = await this.#link.api(
          `/api/v1/topics/investigation:${encodeURIComponent(one.id)}/history?types=agent_analysis&limit=${PAGE}${after}`,
        );
        if (!page.recovered) one.lost = true;
        for (const event of page.events) this.take(event);
        after = `&after=${encodeURIComponent(page.cursor)}`;
      } while (page.events.length === PAGE && one.findings.length < FINDINGS);
      one.loaded = true;
    } catch {
      one.loaded = false; // Tried again when it is opened again; what is live comes anyway.
    } finally {
      one.loading = false;
    }
    this.#show();
  }

  #forget() {
    if (this.#all.size <= SHOWN) return;
    this.#trimmed = true;
    const every = [...this.#all.values()];
    const gone = every.find(({ status }) => FINAL.has(status)) ?? every[0];
    this.#remove(gone);
  }

  #remove(one) {
    this.#all.delete(one.id);
    one.card.article.remove();
    this.#show();
  }

  // What is seen

  #card(one) {
    const part = {};
    const name = `query-${one.id.replace(/[^\w-]/g, "")}`;
    part.query = el("h3", { id: name, lang: "pt-BR" });
    part.status = el("span", { class: "chip" });
    part.simulated = el("span", { class: "chip plain", hidden: true });
    part.percent = el("span", { class: "percent" });
    part.overall = el("progress", { class: "overall", max: 100, value: 0 });
    part.agent = el("p", { class: "agent" });
    part.monogram = el("span", { class: "monogram", "aria-hidden": "true" });
    part.who = el("strong");
    part.message = el("span", { class: "saying", lang: "pt-BR" });
    part.agent.append(part.monogram, el("span", {}, part.who, " ", part.message));
    part.ask = el("button", { type: "button", class: "quiet", onclick: () => this.#about(one) });
    part.cancel = el("button", { type: "button", class: "quiet", onclick: () => this.#cancel(one) });
    part.error = el("p", { class: "error", role: "alert" });
    part.summary = el("summary");
    part.stages = el("dl", { class: "stages" });
    for (const stage of STAGES) {
      const bar = el("progress", { max: 100, value: 0 });
      const label = el("dt");
      const done = el("span", { class: "done" });
      part.stages.append(el("div", {}, label, el("dd", {}, bar, done)));
      part[stage] = { bar, label, done };
    }
    // Roles, because on a narrow page rows are no table rows to the browser.
    part.rows = el("tbody", { role: "rowgroup" });
    part.heads = ["agent", "pattern", "severity", "confidence", "evidence", "description"].map((key) =>
      el("th", { scope: "col", role: "columnheader", "data-key": key }),
    );
    part.caption = el("caption", { class: "hidden" });
    const head = el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...part.heads));
    const table = el("table", { class: "findings", role: "table" }, part.caption, head, part.rows);
    part.table = el("div", { class: "scroll rows", role: "group", tabindex: 0, "aria-labelledby": name, hidden: true }, table);
    part.none = el("p", { class: "empty" });
    part.bound = el("p", { class: "bound", hidden: true });
    part.details = el("details", { class: "more" }, part.summary, part.stages, part.none, part.table, part.bound);
    part.details.addEventListener("toggle", () => part.details.open && !one.loaded && this.#link.state === "open" && this.#load(one));
    part.article = el(
      "article",
      { class: "investigation", "aria-labelledby": name },
      el("div", { class: "title" }, part.query, part.status, part.simulated),
      el("div", { class: "line overall-line" }, part.overall, part.percent),
      part.agent,
      el("div", { class: "actions" }, part.ask, part.cancel),
      part.error,
      part.details,
    );
    return part;
  }

  #render() {
    byId("investigations-none").hidden = this.#all.size > 0;
    const full = byId("investigations-full");
    full.hidden = !this.#trimmed;
    write(full, t("investigations.full", { limit: SHOWN }));
    for (const one of this.#all.values()) this.#renderOne(one, one.card);
  }

  #renderOne(one, card) {
    // Only what has changed; `told` is what is on the page already.
    const told = `${one.status} ${one.progress} ${one.count} ${Object.values(one.stages)} ${text(one.message)} ${text(one.current_agent)} ${text(one.query)} ${one.lost}`;
    if (one.told === told) return;
    const isNew = one.told === undefined;
    one.told = told;
    const status = knows(`status.${one.status}`) ? one.status : "unknown";
    write(card.query, text(one.query) || one.id);
    card.status.dataset.status = status;
    write(card.status, t(`status.${status}`));
    card.simulated.hidden = one.simulated !== true;
    write(card.simulated, t("simulated"));
    card.overall.value = one.progress;
    card.overall.setAttribute("aria-label", t("overall"));
    write(card.percent, percent(one.progress / 100));
    const agent = this.#agents.get(one.current_agent);
    const name = agent?.name ?? text(one.current_agent);
    write(card.monogram, initials(name));
    write(card.who, name);
    write(card.message, text(one.message));
    card.agent.dataset.working = String(!FINAL.has(status));
    write(card.ask, t("ask"));
    write(card.cancel, t("cancel"));
    card.cancel.hidden = FINAL.has(status);
    write(card.summary, t("findings.count", { count: number(one.count) }));
    for (const stage of STAGES) {
      const { bar, label, done } = card[stage];
      const value = FINAL.has(status) && status === "completed" ? 100 : (one.stages[stage] ?? 0);
      bar.value = value;
      bar.setAttribute("aria-label", t(`stage.${stage}`));
      write(label, t(`stage.${stage}`));
      write(done, percent(value / 100));
    }
    if (isNew) {
      card.rows.replaceChildren();
      write(card.caption, t("findings"));
      for (const head of card.heads) write(head, t(head.dataset.key));
    }
    for (const finding of one.findings.slice(card.rows.childElementCount)) card.rows.append(this.#row(finding));
    card.table.hidden = one.count === 0;
    card.none.hidden = one.count > 0;
    write(card.none, t("findings.none"));
    card.bound.hidden = one.count <= FINDINGS && !one.lost;
    write(card.bound, t(one.count > FINDINGS ? "findings.full" : "findings.trimmed", { limit: FINDINGS }));
  }

  #row(finding) {
    const severity = LEVELS.has(finding.severity) ? finding.severity : "";
    const cell = (key, child, attributes = {}) => el("td", { role: "cell", "data-label": t(key), ...attributes }, child);
    const confidence = typeof finding.confidence === "number" ? percent(finding.confidence) : "–";
    const evidence = typeof finding.evidence_count === "number" ? number(finding.evidence_count) : "–";
    return el(
      "tr",
      { lang: "pt-BR", role: "row" },
      cell("agent", this.#agents.get(finding.agent)?.name ?? text(finding.agent)),
      cell("pattern", el("code", {}, ...breakable(text(finding.pattern)))),
      cell("severity", el("span", { class: "severity", "data-severity": severity }, severity ? t(`severity.${severity}`) : text(finding.severity) || "–")),
      cell("confidence", confidence, { class: "figure" }),
      cell("evidence", evidence, { class: "figure" }),
      cell("description", text(finding.description), { class: "description" }),
    );
  }

  async #cancel(one) {
    write(one.card.error, "");
    try {
      this.take(await this.#link.send("cancel_investigation", { investigation_id: one.id }));
    } catch (error) {
      write(one.card.error, t("failed", { why: error.message }));
    }
  }

  /** Say aloud how an investigation that began here ends. */
  watch(id) {
    this.#get(id).watched = true;
  }
}

/** A name that may break after each underscore. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part) => [part, el("wbr")]);
}

function initials(name) {
  const words = name.split(/\s+/).filter((word) => /^\p{Lu}/u.test(word));
  return words.length ? words[0][0] + (words.length > 1 ? words[words.length - 1][0] : "") : "·";
}
