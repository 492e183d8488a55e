/** The log of every frame in both directions: bounded, filtered, paused, copied, exported. */

import { announce, byId, el, onFrame, text, write } from "./dom.js";
import { clock, inLanguage, number, t } from "./words.js";

/** Frames kept, and characters of them as JSON; past either the oldest goes. */
const KEPT = 2_000;
const CHARS = 8 * 1024 * 1024;
/** Rows on the page; the filter is the way to older ones. */
const ROWS = 150;
const GIST = 160;
const WORTH_SAYING = ["status", "agent", "query", "message", "title", "content", "code", "overall_progress", "replayed", "reason"];

export class Frames {
  #kept = [];
  #chars = 0;
  #dropped = 0;
  #numbers = 0;
  #shownTo = 0;
  #list = byId("frame-list");
  #pausedAt;
  #show = onFrame(() => this.#render());

  constructor(link) {
    link.addEventListener("frame", ({ detail }) => this.#add(detail));
    byId("frame-filter").addEventListener("input", () => this.#again());
    byId("frame-kind").addEventListener("change", () => this.#again());
    byId("frame-pause").addEventListener("click", () => this.#pause());
    byId("frame-copy").addEventListener("click", () => this.#copy());
    byId("frame-export").addEventListener("click", () => this.#export());
    byId("frame-clear").addEventListener("click", () => {
      this.#kept = [];
      this.#chars = this.#dropped = 0;
      this.#again();
    });
    inLanguage(() => this.#again());
  }

  #add({ direction, transport, message, kind, at }) {
    const json = JSON.stringify(message);
    this.#kept.push({ number: ++this.#numbers, direction, transport, message, kind, at, json, folded: json.toLowerCase() });
    this.#chars += json.length;
    while (this.#kept.length > KEPT || (this.#chars > CHARS && this.#kept.length > 1)) {
      this.#chars -= this.#kept.shift().json.length;
      this.#dropped++;
    }
    this.#show();
  }

  /** Those that pass the filter, the oldest first. Each word must be in a frame's JSON. */
  #passing(from = 0) {
    const words = byId("frame-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = byId("frame-kind").value;
    return this.#kept.filter(
      ({ number: at, folded, kind, direction }) =>
        at > from &&
        (this.#pausedAt === undefined || at <= this.#pausedAt) &&
        (wanted === "all" || wanted === kind || wanted === direction) &&
        words.every((word) => folded.includes(word)),
    );
  }

  #again() {
    this.#shownTo = 0;
    this.#list.replaceChildren();
    this.#show();
  }

  #render() {
    const fresh = this.#passing(this.#shownTo).slice(-ROWS);
    if (fresh.length) {
      this.#list.prepend(...fresh.reverse().map((frame) => this.#row(frame)));
      while (this.#list.childElementCount > ROWS) this.#list.lastElementChild.remove();
    }
    this.#shownTo = this.#pausedAt ?? this.#numbers;
    const passing = this.#passing().length;
    const waiting = this.#pausedAt === undefined ? 0 : this.#numbers - this.#pausedAt;
    const count = t("frames.count", { shown: number(passing), kept: number(this.#kept.length) });
    write(byId("frame-count"), waiting ? `${count} · ${t("frames.waiting", { count: number(waiting) })}` : count);
    const full = { limit: number(KEPT), size: CHARS / 1024 / 1024, dropped: number(this.#dropped) };
    const told = [
      ...(this.#dropped ? [t("frames.full", full)] : []),
      ...(passing > ROWS ? [t("frames.shown", { limit: ROWS })] : []),
    ];
    byId("frame-told").hidden = told.length === 0;
    write(byId("frame-told"), told.join(" "));
    write(byId("frame-pause"), t(this.#pausedAt === undefined ? "frames.pause" : "frames.go"));
  }

  #row({ direction, kind, message, at, json }) {
    const body = el("pre");
    const whole = el("details", {
      ontoggle: () => write(body, JSON.stringify(message, null, 2)),
    });
    const label = el("span", { class: "hidden" }, t(`frame.${kind}`), " ");
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" }, direction === "in" ? "↓" : "↑");
    const size = el("span", { class: "size" }, `${number(json.length)} B`);
    const head = [el("time", {}, clock(at, true)), arrow, label, el("b", {}, text(message.type)), el("span", { class: "gist" }, gist(message)), size];
    whole.append(el("summary", {}, ...head), body);
    return el("li", { class: "frame", "data-kind": kind }, whole);
  }

  #pause() {
    this.#pausedAt = this.#pausedAt === undefined ? this.#numbers : undefined;
    byId("frame-pause").setAttribute("aria-pressed", String(this.#pausedAt !== undefined));
    this.#show();
  }

  async #copy() {
    const frames = this.#passing();
    try {
      await navigator.clipboard.writeText(frames.map(({ json }) => json).join("\n"));
      this.#tell(t("frames.copied", { count: number(frames.length) }));
    } catch {
      this.#tell(t("frames.copy.failed")); // Not a secure context, or forbidden by the person.
    }
  }

  #export() {
    const frames = this.#passing().map(({ at, direction, transport, kind, message }) => ({
      at: new Date(at).toISOString(),
      direction,
      transport,
      kind,
      message,
    }));
    const blob = new Blob([JSON.stringify({ exported_at: new Date().toISOString(), forgotten: this.#dropped, frames }, null, 1)], {
      type: "application/json",
    });
    const url = URL.createObjectURL(blob);
    el("a", { href: url, download: `cidadao-rt-${new Date().toISOString().replace(/[:.]/g, "-")}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  #tell(words) {
    announce(words);
    write(byId("frame-count"), words);
  }
}

/** What a frame is about, in one line. */
function gist({ data, id }) {
  const found = WORTH_SAYING.filter((key) => data?.[key] !== undefined && data[key] !== null).map((key) => text(data[key]));
  const words = found.join(" · ") || (id ?? "");
  return words.length > GIST ? `${words.slice(0, GIST)}…` : words;
}
