/** Live metrics with small charts: the gateway's own, and what this page measures. */

import { byId, el, onFrame, svg, write } from "./dom.js";
import { inLanguage, number, t } from "./words.js";

/** Points of a chart; past it the oldest goes. */
const POINTS = 60;
const WIDTH = 120;
const HEIGHT = 32;
const OF_GATEWAY = {
  active_investigations: (value) => number(value),
  agents_busy: (value) => number(value),
  avg_response_time: (value) => `${number(value * 1000, 1)} ms`,
  queue_size: (value) => number(value),
};
const OF_PAGE = { latency: (value) => `${number(value, 1)} ms`, rate: (value) => number(value, 1) };

export function metrics(link) {
  const charts = Object.entries({ ...OF_GATEWAY, ...OF_PAGE }).map(([name, tell]) => new Chart(name, tell));
  const of = Object.fromEntries(charts.map((chart) => [chart.name, chart]));
  byId("charts").append(...charts.map(({ node }) => node));
  let frames = 0;
  link.addEventListener("frame", () => frames++);
  link.addEventListener("message", ({ detail: { type, data } }) => {
    if (type !== "metrics_update") return;
    for (const name of Object.keys(OF_GATEWAY)) if (Number.isFinite(data?.[name])) of[name].add(data[name]);
  });
  setInterval(() => {
    of.rate.add(frames);
    frames = 0;
    if (link.latency !== undefined) of.latency.add(link.latency);
  }, 1000);
  inLanguage(() => charts.forEach((chart) => chart.show()));
}

class Chart {
  #tell;
  #values = [];
  #label = el("figcaption");
  #value = el("p", { class: "value" }, "–");
  #area = svg("path", { class: "area" });
  #line = svg("path", { class: "curve" });
  show = onFrame(() => this.#render());

  constructor(name, tell) {
    this.name = name;
    this.#tell = tell;
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.#area, this.#line);
    this.node = el("figure", { class: "chart", "data-metric": name }, this.#label, this.#value, picture);
  }

  add(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.show();
  }

  #render() {
    write(this.#label, t(this.name));
    if (this.#values.length === 0) return;
    write(this.#value, this.#tell(this.#values[this.#values.length - 1]));
    const most = Math.max(...this.#values, 1e-9);
    const step = WIDTH / (POINTS - 1);
    const first = POINTS - this.#values.length;
    const points = this.#values.map(
      (value, index) => `${((first + index) * step).toFixed(1)} ${(HEIGHT - 2 - (value / most) * (HEIGHT - 6)).toFixed(1)}`,
    );
    const line = `M${points.join("L")}`;
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", `${line}L${WIDTH} ${HEIGHT}L${(first * step).toFixed(1)} ${HEIGHT}Z`);
  }
}
