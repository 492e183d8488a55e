// Renders /asyncapi.json and /openapi.json. Everything is built as DOM nodes: no text of the documents becomes markup.

const PT = document.documentElement.lang.startsWith("pt");
const say = (pt, en) => (PT ? pt : en);
const told = (object, key = "summary") => (PT && object[`x-${key}-pt-BR`]) || object[key] || "";

/** An element with its attributes and children; null children are left out. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

/** Text in which `these` are code. */
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

function follow(root, schema) {
  return schema.$ref ? schema.$ref.slice(2).split("/").reduce((node, key) => node[key], root) : schema;
}

/** What a field may be, in a few words. */
function typeOf(root, schema) {
  const real = follow(root, schema);
  if (real.const !== undefined) return JSON.stringify(real.const);
  if (real.enum) return real.enum.map((value) => JSON.stringify(value)).join(" | ");
  const any = real.anyOf ?? real.oneOf;
  if (any) return any.map((one) => typeOf(root, one)).join(" | ");
  if (real.type === "array") {
    const item = typeOf(root, real.items ?? {});
    return item.includes(" ") ? `(${item})[]` : `${item}[]`;
  }
  if (Array.isArray(real.type)) return real.type.map((type) => typeOf(root, type === "null" ? { type } : { ...real, type })).join(" | ");
  const name = real.type ?? say("qualquer", "any");
  const { minimum: low, maximum: high, minLength: short, maxLength: long } = real;
  if (low !== undefined && high !== undefined) return `${name} ${low}–${high}`;
  if (low !== undefined) return `${name} ≥ ${low}`;
  if (long !== undefined) return `${name}, ${short ?? 0}–${long} ${say("caracteres", "characters")}`;
  return name;
}

/** A field's schema without null, arrays and references around it, and what they add to its name. */
function inside(root, schema) {
  const real = follow(root, schema);
  const some = (real.anyOf ?? []).filter((one) => one.type !== "null");
  if (some.length === 1) return { suffix: inside(root, some[0]).suffix, schema: { ...inside(root, some[0]).schema, ...pick(real) } };
  if (real.type === "array") {
    const item = inside(root, real.items ?? {});
    return { suffix: `[]${item.suffix}`, schema: item.schema };
  }
  return { suffix: "", schema: real };
}
const pick = ({ properties, description }) => ({ ...(properties && { properties }), ...(description && { description }) });

/** The fields of an object, those of its objects after them as `outer.inner`. */
function fields(root, schema, prefix = "", depth = 0) {
  const real = follow(root, schema);
  return Object.entries(real.properties ?? {}).flatMap(([name, field]) => {
    const deeper = inside(root, field);
    const nested = depth < 3 ? fields(root, deeper.schema, `${prefix}${name}${deeper.suffix}.`, depth + 1) : [];
    const description = told(field, "description") || told(deeper.schema, "description");
    const initial = field.default;
    return [{ name: prefix + name, type: typeOf(root, field), need: real.required?.includes(name), description, initial }, ...nested];
  });
}

function table(rows, first = say("Campo", "Field")) {
  if (!rows.length) return el("p", { class: "empty" }, say("Nenhum campo.", "No fields."));
  const typed = rows.some(({ type }) => type);
  const head = [first, ...(typed ? [say("Tipo", "Type")] : []), say("Significado", "Meaning")];
  const line = ({ name, type, need, description, initial }) =>
    el("tr", {},
      el("td", {}, el("code", {}, name), need ? el("span", { class: "need" }, say("obrigatório", "required")) : null),
      typed ? el("td", { class: "type" }, type) : null,
      el("td", {}, prose(description ?? ""), initial === undefined || initial === null ? null : [
        description ? " " : "", say("Padrão: ", "Default: "), el("code", {}, String(initial)),
      ]));
  return el("table", {}, el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, rows.map(line)));
}

/** JSON with its keys, texts and numbers coloured. */
function coloured(json) {
  const parts = json.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?)/);
  return parts.map((part, index) => {
    if (index % 2 === 0) return part;
    return el("span", { class: part.endsWith(":") ? "k" : part.startsWith('"') ? "s" : "n" }, part);
  });
}

function block(label, text, children = [text]) {
  const copy = el("button", { type: "button", class: "copy" }, say("Copiar", "Copy"));
  copy.addEventListener("click", async () => {
    // A page that came over plain HTTP from another machine has no clipboard.
    await navigator.clipboard?.writeText(text);
    if (!navigator.clipboard) getSelection().selectAllChildren(copy.parentNode.querySelector("code"));
    copy.textContent = navigator.clipboard ? say("Copiado", "Copied") : say("Selecionado", "Selected");
    setTimeout(() => { copy.textContent = say("Copiar", "Copy"); }, 1500);
  });
  const pre = el("pre", { tabindex: "0", "aria-label": label }, el("code", {}, children));
  return [el("h4", {}, label), el("div", { class: "block" }, pre, copy)];
}

const jsonBlock = (label, value) => {
  const text = JSON.stringify(value, null, 2);
  return block(label, text, coloured(text));
};
const titled = (label, ...children) => [el("h4", {}, label), ...children];
const badge = (text, kind = "") => el("span", { class: `badge ${kind}` }, text);
const slug = (...parts) => parts.join("-").replace(/[^\w]+/g, "-").replace(/-+$/, "");

function card(id, name, badges, summary, ...children) {
  const heading = el("h3", {}, ...badges, el("a", { href: `#${id}` }, name));
  return { id, name, node: el("article", { id }, heading, summary ? el("p", {}, prose(summary)) : null, ...children) };
}

// -- the WebSocket side

function channelCard(spec, name) {
  const channel = spec.channels[name];
  const server = spec.servers.root;
  const query = { required: [], ...channel.bindings.ws.query };
  return card(slug("channel", name), channel.address, [badge("WebSocket", "strong")], told(channel),
    block("URL", `${server.protocol}://${server.host}${channel.address}?token=…`), titled(say("Parâmetros", "Parameters"), table(fields(spec, query))));
}

function messageCard(spec, key) {
  const message = spec.components.messages[key];
  const payload = follow(spec, message.payload);
  const reply = Object.values(spec.operations).find(
    (one) => one.action === "receive" && one.messages[0].$ref.endsWith(`/${key}`))?.reply;
  const answers = (reply?.messages ?? []).map(({ $ref }) => $ref.split("/").pop());
  const links = answers.flatMap((answer, index) => [
    index ? ", " : "", el("a", { href: `#${slug("message", answer)}` }, el("code", {}, spec.components.messages[answer].name))]);
  const has = payload.properties.id ? badge(payload.required.includes("id") ? "id" : say("id, às vezes", "id, sometimes")) : null;
  return card(slug("message", key), message.name, [has].filter(Boolean), told(message),
    titled("data", table(fields(spec, payload.properties.data))),
    reply ? titled(say("Respostas", "Answers"), el("p", {}, links)) : null,
    (message.examples ?? []).flatMap(({ payload: example }) => jsonBlock(say("Exemplo", "Example"), example)));
}

// -- the HTTP side

function curl(path, method, operation) {
  const values = { timeout: "25", session_id: null };
  const query = (operation.parameters ?? []).filter(({ in: place, name }) => place === "query" && values[name]);
  const url = new URL(location.origin + new URL(".", location.href).pathname.replace(/\/$/, "") + path);
  const address = decodeURI(url.href) + (query.length ? `?${query.map(({ name }) => `${name}=${values[name]}`).join("&")}` : "");
  const body = operation.requestBody?.content["application/json"].example;
  const named = operation.security.some((one) => "bearer" in one || "metricsToken" in one);
  return [
    `curl${operation.responses[200]?.content?.["text/event-stream"] ? " -N" : ""} '${address}'`,
    named ? `-H "Authorization: Bearer $TOKEN"` : null,
    body ? "-H 'Content-Type: application/json'" : null,
    body ? `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'` : null,
  ].filter(Boolean).join(" \\\n  ");
}

function responseRows(spec, responses) {
  return Object.entries(responses).map(([status, response]) => {
    const [media, content] = Object.entries(response.content ?? {})[0] ?? ["", {}];
    const schema = content["x-itemSchema"] ?? content.schema;
    const name = schema?.$ref?.split("/").pop();
    return { name: status, type: [media, name].filter(Boolean).join(" · "), description: response.description };
  });
}

function operationCard(spec, path, method) {
  const operation = spec.paths[path][method];
  const parameters = (operation.parameters ?? []).map((one) => ({
    name: one.name, type: typeOf(spec, one.schema) + (one.in === "query" ? "" : ` · ${one.in}`),
    need: one.required, description: told(one, "description"), initial: one.schema.default,
  }));
  const body = operation.requestBody?.content["application/json"];
  const success = Object.entries(operation.responses).find(([status]) => status < 300)?.[1].content?.["application/json"]?.schema;
  const isSocket = "101" in operation.responses;
  return card(slug(method, path), path, [badge(method.toUpperCase(), method)], told(operation),
    parameters.length ? titled(say("Parâmetros", "Parameters"), table(parameters)) : null,
    body ? jsonBlock(say("Corpo", "Body"), body.example) : null,
    success?.$ref ? titled(say("Resposta", "Response"), table(fields(spec, success))) : null,
    el("details", {}, el("summary", {}, say("Respostas por status", "Responses by status")), table(responseRows(spec, operation.responses), "Status")),
    isSocket ? null : block("curl", curl(path, method, operation)));
}

// -- the page

function chapters(asyncapi, openapi) {
  const messages = (tag) => Object.entries(asyncapi.components.messages)
    .filter(([, message]) => message.tags[0].name === tag).map(([key]) => messageCard(asyncapi, key));
  const operations = (tag) => Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.keys(methods).filter((method) => methods[method].tags[0] === tag).map((method) => operationCard(openapi, path, method)));
  const codes = asyncapi["x-close-codes"].map((one) => ({ name: String(one.code), description: told(one, "description") }));
  return [
    ["channels", say("Canais", "Channels"), say(
      "Três endereços WebSocket, também sob /api/v1. O token vai em ?token= ou em Authorization: Bearer.",
      "Three WebSocket addresses, also under /api/v1. The token travels as ?token= or as Authorization: Bearer."),
      Object.keys(asyncapi.channels).map((name) => channelCard(asyncapi, name))],
    ["commands", say("Comandos", "Commands"), say(
      "O que o cliente envia: {type, data, correlation_id?}. As respostas diretas repetem o correlation_id; o que é recusado recebe error.",
      "What clients send: {type, data, correlation_id?}. Direct answers echo the correlation_id; what is refused gets an error."), messages("command")],
    ["events", say("Eventos", "Events"), say(
      "O que o servidor guarda e reenvia: {type, data, timestamp, id, correlation_id?}. O id é um cursor.",
      "What the server keeps and replays: {type, data, timestamp, id, correlation_id?}. The id is a cursor."), messages("event")],
    ["transient", say("Mensagens passageiras", "Transient messages"), say(
      "Respostas, erros e o que só vale no momento: não são reenviadas.",
      "Answers, errors, and what matters only at the moment: none is replayed."), messages("transient")],
    ["http", "HTTP", say("Os mesmos eventos sem WebSocket, comandos e publicação.",
      "The same events without WebSocket, commands and publishing."), [...operations("events"), ...operations("read")]],
    ["development", say("Desenvolvimento", "Development"), say("Ajuda a construir clientes; recusado em produção.", "Helps to build clients; refused in production."), operations("development")],
    ["pages", say("Páginas e saúde", "Pages and health"), say("Para quem opera e para quem lê.", "For who runs it and who reads."), operations("pages")],
    ["closing", say("Códigos de fechamento", "Close codes"), say("Como o servidor se despede.", "How the server says goodbye."),
      [{ id: "", node: el("article", {}, table(codes, say("Código", "Code"))) }]],
  ];
}

function page(asyncapi, openapi) {
  const all = chapters(asyncapi, openapi);
  const find = el("input", { type: "search", placeholder: say("Filtrar", "Filter"), "aria-label": say("Filtrar", "Filter") });
  const items = [];
  const contents = el("ul", {}, all.map(([id, title, , cards]) =>
    el("li", {}, el("a", { href: `#${id}`, class: "top" }, title),
      el("ul", {}, cards.filter((one) => one.name).map((one) => {
        const item = el("li", {}, el("a", { href: `#${one.id}` }, one.name));
        items.push([item, one.node]);
        return item;
      })))));
  const none = el("p", { class: "empty", hidden: "", role: "status" }, say("Nada encontrado.", "Nothing found."));
  const sections = all.map(([id, title, lead, cards]) =>
    el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), el("p", {}, lead), cards.map((one) => one.node)));
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    for (const article of document.querySelectorAll("article")) article.hidden = !article.textContent.toLowerCase().includes(wanted);
    for (const section of sections) section.hidden = !section.querySelector("article:not([hidden])");
    for (const [item, article] of items) item.hidden = article.hidden;
    none.hidden = sections.some((section) => !section.hidden);
  });
  const languages = [["pt-BR", "PT", "Português"], ["en", "EN", "English"]].map(([lang, label, title]) =>
    el("a", { href: `?lang=${lang}`, lang, hreflang: lang, title, "aria-label": title, "aria-current": document.documentElement.lang === lang ? "true" : null }, label));
  const menu = el("details", {}, el("summary", {}, say("Conteúdo", "Contents")), find, contents);
  const wide = matchMedia("(min-width: 60rem)");
  const fit = () => { menu.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  contents.addEventListener("click", () => { if (!wide.matches) menu.open = false; });
  document.body.append(
    el("a", { class: "skip", href: "#main" }, say("Ir para o conteúdo", "Skip to content")),
    el("div", { class: "layout" },
      el("nav", { "aria-label": say("Conteúdo", "Contents") },
        el("div", { class: "brand" }, el("img", { src: "docs/docs.svg", alt: "" }), "cidadao_rt", el("span", { class: "languages" }, languages)), menu),
      el("main", { id: "main", tabindex: "-1" },
        el("h1", {}, say("A API em tempo real do Cidadão.AI", "The real-time API of Cidadão.AI")),
        el("p", { class: "lead" }, say("Versão ", "Version "), asyncapi.info.version, ". ",
          say("Gerada dos tipos de mensagem deste mesmo processo: ", "Generated from the message types of this very process: "),
          el("a", { href: "asyncapi.json" }, "asyncapi.json"), ", ", el("a", { href: "openapi.json" }, "openapi.json"), ".",
          PT ? " As descrições dos campos estão em inglês." : ""),
        sections, none)));
  // What the address points to has only now come to be.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

async function load(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.json();
}

try {
  page(...(await Promise.all(["asyncapi.json", "openapi.json"].map(load))));
} catch (error) {
  document.body.append(el("p", { role: "alert" }, say("Não foi possível mostrar os documentos: ", "The documents cannot be shown: "), String(error)));
  throw error;
}
