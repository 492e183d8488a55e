/** Making elements. What comes from outside becomes text nodes and nothing else. */

const SVG = "http://www.w3.org/2000/svg";

/** An element. `attributes` are set as such, `on…` are listeners; strings among the children become text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(key, String(value));
  }
  node.append(...children);
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

/** Set a text only where it differs, so that nothing is drawn or selected away for nothing. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Anything of a message as text: strings as they are, nothing as nothing, the rest as JSON. */
export function text(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A function that runs `act` once on the next frame, however often it is called. */
export function onFrame(act) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      act();
    });
  };
}

const PAUSE_MS = 1500;
let nextAt = 0;
let pending;

/** Say something to who listens to the page; at most once in a while, the newest of what came meanwhile. */
export function announce(words) {
  if (pending === undefined) {
    setTimeout(
      () => {
        nextAt = Date.now() + PAUSE_MS;
        write(byId("announcer"), pending);
        pending = undefined;
      },
      Math.max(0, nextAt - Date.now()),
    );
  }
  pending = words;
}
