/** The last minute of the connection as a strip: what came live, what was replayed, what came twice, and the gaps. */

import { byId } from "./dom.js";
import { t } from "./words.js";

const SPAN_MS = 60_000;
/** Points that are drawn; past it the oldest go, also within the minute. */
const POINTS = 2_000;
const EVERY_MS = 200;
const CALMLY_MS = 1_000;
const TOLD_MS = 5_000;

export function ribbon(link) {
  const canvas = byId("ribbon");
  const points = [];
  const gaps = [{ from: Date.now(), to: undefined }];
  let toldAt = 0;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  link.addEventListener("frame", ({ detail }) => {
    if (detail.direction !== "in") return;
    const isEvent = typeof detail.message.id === "string";
    points.push({ at: detail.at, kind: detail.kind, size: isEvent ? 1 : 0.55 });
    if (points.length > POINTS) points.shift();
  });
  link.addEventListener("change", () => {
    const last = gaps[gaps.length - 1];
    const isGap = last !== undefined && last.to === undefined;
    if (link.state !== "open" && !isGap) gaps.push({ from: Date.now(), to: undefined });
    if (link.state === "open" && isGap) last.to = Date.now();
  });

  function draw() {
    const now = Date.now();
    while (points.length && points[0].at < now - SPAN_MS) points.shift();
    while (gaps.length && gaps[0].to !== undefined && gaps[0].to < now - SPAN_MS) gaps.shift();
    if (now - toldAt > TOLD_MS) {
      toldAt = now;
      const of = (kind) => points.filter((point) => point.kind === kind).length;
      const counts = { live: of("in"), replayed: of("replayed"), duplicates: of("duplicate"), gaps: gaps.length };
      canvas.setAttribute("aria-label", t("ribbon.label", counts));
    }
    if (!document.hidden) paint(canvas, points, gaps, now);
    setTimeout(() => requestAnimationFrame(draw), calm.matches ? CALMLY_MS : EVERY_MS);
  }
  draw();
}

function paint(canvas, points, gaps, now) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}-drawn`).trim() || style.color;
  const x = (at) => width - ((now - at) / SPAN_MS) * width;
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  const middle = height / 2;
  c.fillStyle = colour("line");
  c.fillRect(0, middle - 0.5, width, 1);
  c.fillStyle = colour("gap");
  for (const { from, to } of gaps) {
    const left = Math.max(0, x(from));
    c.fillRect(left, 4, Math.max(2, x(to ?? now) - left), height - 8);
  }
  const crowd = new Map();
  for (const { at, kind, size } of points) {
    const column = Math.round(x(at) / 4) * 4;
    // What came at one moment stands one above the other, as far as there is room.
    const before = crowd.get(column) ?? 0;
    crowd.set(column, before + 1);
    const step = (before % 2 ? 1 : -1) * Math.ceil(before / 2) * 6;
    if (Math.abs(step) > middle - 5) continue;
    c.beginPath();
    c.arc(column, middle + step, 2.6 * size, 0, 2 * Math.PI);
    if (kind === "duplicate") {
      c.strokeStyle = colour("twice");
      c.lineWidth = 1.5;
      c.stroke();
    } else {
      c.fillStyle = colour(kind === "replayed" ? "replay" : "live");
      c.fill();
    }
  }
}
