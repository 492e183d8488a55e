/** The console: asks what the gateway is, enters, connects, and gives each part of the page its life. */

import { admin } from "./admin.js";
import { Chat } from "./chat.js";
import { byId, write } from "./dom.js";
import { facts } from "./facts.js";
import { faults } from "./faults.js";
import { Frames } from "./frames.js";
import { Investigations } from "./investigations.js";
import { Link, ask } from "./link.js";
import { metrics } from "./metrics.js";
import { notifications } from "./notifications.js";
import { ribbon } from "./ribbon.js";
import { begin, start } from "./start.js";
import { preferred, setLanguage, t } from "./words.js";

const LANGUAGE = "cidadao-rt-language";
const THEME = "cidadao-rt-theme";
/** What runs when the page is opened and nothing does: slow enough to be watched. */
const DEMO_SCENARIO = "lento";
const SETUP_AGAIN_MS = 2_000;

function chooseLanguage(chosen) {
  setLanguage(chosen);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
  }
}

function chooseTheme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  for (const button of document.querySelectorAll("[data-choose-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.chooseTheme === chosen));
  }
}

function stored(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null; // Storage may be switched off; then nothing is remembered.
  }
}

function preferences() {
  chooseLanguage(preferred(stored(LANGUAGE)));
  chooseTheme(document.documentElement.dataset.theme ?? "auto");
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => chooseLanguage(stored(LANGUAGE, button.dataset.language) ?? button.dataset.language));
  }
  for (const button of document.querySelectorAll("[data-choose-theme]")) {
    button.addEventListener("click", () => chooseTheme(stored(THEME, button.dataset.chooseTheme) ?? button.dataset.chooseTheme));
  }
}

async function setupOfGateway() {
  for (;;) {
    try {
      return await ask("/console/setup");
    } catch {
      write(byId("state-text"), t("unreachable"));
      await new Promise((resolve) => setTimeout(resolve, SETUP_AGAIN_MS));
    }
  }
}

function furnish(link, setup) {
  const agents = new Map(setup.agents.map((agent) => [agent.id, agent]));
  const chat = new Chat(link, setup, agents);
  const investigations = new Investigations(link, agents, (one) => {
    chat.about(one);
    byId("said").focus();
  });
  start(link, setup, (message) => {
    investigations.watch(message.data.investigation_id);
    investigations.take(message);
  });
  facts(link);
  ribbon(link);
  faults(link, setup);
  notifications(link);
  metrics(link);
  new Frames(link);
  admin(link);
  return investigations;
}

/** After a first welcome, and after a loss, what stands is read; the first time, something is made to run. */
function keepCurrent(link, setup, investigations) {
  let began = !setup.gives_token;
  link.addEventListener("back", async ({ detail }) => {
    if (detail.resumed && detail.recovered) return;
    try {
      await investigations.read();
      if (began) return;
      began = true;
      if (investigations.running === 0) investigations.take(await begin(link, t("demo.query"), { scenario: DEMO_SCENARIO }));
    } catch {
      // The frames show what was refused; events come all the same.
    }
  });
}

function enterBy(link) {
  const desk = byId("desk");
  const entry = byId("entry");
  const nav = document.querySelector("nav");

  function show() {
    const asks = link.needsToken;
    entry.hidden = !asks;
    desk.hidden = nav.hidden = asks;
  }

  function open() {
    show();
    link.open(byId("transport").value);
  }

  byId("entry-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId("token");
    link.enter(field.value.trim());
    field.value = "";
    write(byId("entry-error"), "");
    open();
  });
  byId("leave").addEventListener("click", () => link.leave());
  byId("transport").addEventListener("change", () => open());
  link.addEventListener("refused", ({ detail }) => {
    if (!link.needsToken) return;
    show();
    if (detail.reason !== "Closed by the app") write(byId("entry-error"), t("entry.refused", { why: detail.reason }));
    byId("token").focus();
  });
  show();
  if (!link.needsToken) open();
}

preferences();
const setup = await setupOfGateway();
const link = new Link(setup);
byId("leave").hidden = setup.gives_token;
const investigations = furnish(link, setup);
keepCurrent(link, setup, investigations);
enterBy(link);
