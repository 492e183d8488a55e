/** What the page says, in Brazilian Portuguese and English, and how it writes numbers and times. */

const WORDS = {
  skip: ["Ir para o conteúdo", "Skip to content"],
  title: ["Console do gateway em tempo real", "Console of the real-time gateway"],
  language: ["Idioma", "Language"],
  theme: ["Tema", "Theme"],
  "theme.auto": ["Do sistema", "System"],
  "theme.light": ["Claro", "Light"],
  "theme.dark": ["Escuro", "Dark"],
  sections: ["Seções", "Sections"],
  docs: ["Documentação da API", "API documentation"],
  clear: ["Limpar", "Clear"],
  agent: ["Agente", "Agent"],
  simulated: ["simulado", "simulated"],
  failed: ["Não deu certo: {why}", "That did not work: {why}"],
  unreachable: ["O gateway não responde.", "The gateway does not answer."],

  entry: ["Entrar", "Sign in"],
  "entry.why": [
    "Este gateway pede um token. Ele fica só nesta aba, até que ela se feche.",
    "This gateway asks for a token. It stays in this tab alone, until the tab is closed.",
  ],
  "entry.refused": ["O gateway recusou o token: {why}", "The gateway refused the token: {why}"],
  token: ["Token", "Token"],
  enter: ["Entrar", "Sign in"],
  leave: ["Sair", "Sign out"],

  connection: ["Conexão", "Connection"],
  transport: ["Transporte", "Transport"],
  polling: ["Long polling", "Long polling"],
  user: ["Usuário", "User"],
  session: ["Sessão", "Session"],
  cursor: ["Cursor", "Cursor"],
  latency: ["Latência", "Latency"],
  received: ["Recebidos", "Received"],
  resumes: ["Retomadas", "Resumes"],
  replayed: ["Recuperados", "Replayed"],
  duplicates: ["Duplicatas", "Duplicates"],
  recovery: ["Perdas", "Losses"],
  "recovery.yes": ["nenhuma", "none"],
  "recovery.no": ["houve; estado relido", "some; state read again"],
  "state.connecting": ["Conectando…", "Connecting…"],
  "state.away": ["Fora por {seconds} s", "Away for {seconds} s"],
  "state.open": ["Conectado por {transport}", "Connected by {transport}"],
  "state.waiting": ["Volta em {seconds} s", "Back in {seconds} s"],
  "state.closed": ["Encerrada", "Closed"],
  "state.entry": ["Falta o token", "A token is needed"],
  "said.open": ["Conectado.", "Connected."],
  "said.waiting": ["A conexão caiu: {why}", "The connection was lost: {why}"],
  "said.replayed": ["Conectado de novo; {count} eventos recuperados.", "Connected again; {count} events replayed."],
  "key.live": ["ao vivo", "live"],
  "key.replay": ["recuperado", "replayed"],
  "key.twice": ["duplicata", "duplicate"],
  "key.gap": ["sem conexão", "not connected"],
  "key.span": ["último minuto", "last minute"],
  "ribbon.label": [
    "Último minuto: {live} eventos ao vivo, {replayed} recuperados, {duplicates} duplicatas, {gaps} quedas.",
    "Last minute: {live} live events, {replayed} replayed, {duplicates} duplicates, {gaps} losses of connection.",
  ],

  investigations: ["Investigações", "Investigations"],
  "investigations.none": ["Nenhuma investigação ainda.", "No investigation yet."],
  "investigations.full": [
    "Só as {limit} investigações mais novas são mostradas.",
    "Only the newest {limit} investigations are shown.",
  ],
  query: ["O que investigar", "What to investigate"],
  "query.hint": ["Contratos de merenda escolar em 2024", "Contratos de merenda escolar em 2024"],
  start: ["Investigar", "Investigate"],
  "start.more": ["Agentes, filtros e cenário", "Agents, filters and scenario"],
  "start.range": ["Escolha as duas datas, em ordem.", "Choose both dates, in order."],
  agents: ["Agentes", "Agents"],
  from: ["De", "From"],
  to: ["Até", "To"],
  least: ["Valor mínimo (R$)", "Least value (R$)"],
  scenario: ["Cenário", "Scenario"],
  "scenario.default": ["O do servidor ({name})", "The server's ({name})"],
  "demo.query": ["Contratos de merenda escolar em 2024", "Contratos de merenda escolar em 2024"],
  cancel: ["Cancelar", "Cancel"],
  ask: ["Perguntar", "Ask"],
  overall: ["Progresso geral", "Overall progress"],
  "status.started": ["iniciada", "started"],
  "status.processing": ["em andamento", "under way"],
  "status.completed": ["concluída", "completed"],
  "status.failed": ["falhou", "failed"],
  "status.cancelled": ["cancelada", "cancelled"],
  "status.unknown": ["–", "–"],
  "said.completed": ["Investigação concluída: {query}", "Investigation completed: {query}"],
  "said.failed": ["A investigação falhou: {query}", "The investigation failed: {query}"],
  "said.cancelled": ["Investigação cancelada: {query}", "Investigation cancelled: {query}"],
  "stage.data_collection": ["Coleta de dados", "Data collection"],
  "stage.anomaly_detection": ["Busca de anomalias", "Anomaly detection"],
  "stage.pattern_analysis": ["Análise de padrões", "Pattern analysis"],
  "stage.report_generation": ["Relatório", "Report"],
  findings: ["Achados", "Findings"],
  "findings.count": ["Etapas e achados ({count})", "Stages and findings ({count})"],
  "findings.none": ["Nenhum achado ainda.", "No finding yet."],
  "findings.full": ["Só os primeiros {limit} achados são mostrados.", "Only the first {limit} findings are shown."],
  "findings.trimmed": [
    "Parte dos achados já saiu da memória do gateway.",
    "Some of the findings are no longer in the gateway's memory.",
  ],
  pattern: ["Padrão", "Pattern"],
  severity: ["Gravidade", "Severity"],
  "severity.high": ["alta", "high"],
  "severity.medium": ["média", "medium"],
  "severity.low": ["baixa", "low"],
  confidence: ["Confiança", "Confidence"],
  evidence: ["Evidências", "Evidence"],
  description: ["Descrição", "Description"],

  faults: ["Falhas", "Faults"],
  "faults.title": ["Quebre e veja voltar", "Break it, see it come back"],
  "faults.lead": [
    "Nada se perde: o que faltou volta pelo cursor, em ordem.",
    "Nothing is lost: what was missed comes back by its cursor, in order.",
  ],
  away: ["Sumir por 5 s", "Vanish for 5 s"],
  cut: ["Cortar a conexão", "Cut the connection"],
  "faults.end": ["Encerrar todas as falhas", "End all faults"],
  "faults.forbidden": [
    "Falhas existem só no modo de desenvolvimento.",
    "Faults exist in development mode alone.",
  ],
  "fault.delay": ["Atrasar", "Delay"],
  "fault.drop": ["Perder eventos", "Drop events"],
  "fault.duplicate": ["Duplicar", "Duplicate"],
  "fault.slow": ["Leitura lenta", "Slow reading"],
  "fault.close:1006": ["Queda 1006", "Drop 1006"],
  "fault.close:1011": ["Erro 1011", "Error 1011"],
  "fault.close:1013": ["Sobrecarga 1013", "Overload 1013"],
  "fault.expire": ["Vencer o token", "Expire the token"],
  "fault.limit:messages": ["Limite de mensagens", "Message limit"],
  "fault.limit:connections": ["Limite de conexões", "Connection limit"],
  "fault.own": ["Outra falha", "Another fault"],
  "fault.inject": ["Injetar", "Inject"],
  "fault.active": ["Valendo nesta conexão: {fault}", "In force on this connection: {fault}"],
  "fault.everyone": [
    "Valendo para toda conexão nova, até que você encerre: {fault}",
    "In force for every new connection until you end it: {fault}",
  ],
  "fault.none": ["Nenhuma falha valendo.", "No fault in force."],

  chat: ["Conversa", "Chat"],
  "chat.message": ["Mensagem", "Message"],
  "chat.hint": ["Escreva ao agente", "Write to the agent"],
  "chat.send": ["Enviar", "Send"],
  "chat.you": ["Você", "You"],
  "chat.about": ["Sobre: {query}", "About: {query}"],
  "chat.about.end": ["Deixar o assunto", "Drop the subject"],
  "chat.full": ["Só as últimas {limit} falas são mostradas.", "Only the last {limit} messages are shown."],
  "chat.invite": [
    "Escolha um agente e pergunte. A resposta aparece enquanto é escrita.",
    "Choose an agent and ask. The answer appears as it is written.",
  ],
  "said.answer": ["{name} respondeu: {message}", "{name} answered: {message}"],

  notifications: ["Avisos", "Notifications"],
  "notifications.none": ["Nenhum aviso.", "No notification."],
  "notifications.full": ["Só os últimos {limit} avisos são mostrados.", "Only the last {limit} notifications are shown."],
  "level.info": ["informação", "information"],
  "level.success": ["sucesso", "success"],
  "level.warning": ["atenção", "warning"],
  "level.error": ["erro", "error"],
  "level.critical": ["crítico", "critical"],

  metrics: ["Métricas", "Metrics"],
  active_investigations: ["Investigações ativas", "Active investigations"],
  agents_busy: ["Agentes ocupados", "Agents busy"],
  avg_response_time: ["Resposta média", "Average response"],
  queue_size: ["Conexões atrasadas", "Connections behind"],
  rate: ["Quadros por segundo", "Frames per second"],

  frames: ["Quadros", "Frames"],
  "frames.filter": ["Filtrar os quadros", "Filter the frames"],
  "frames.filter.hint": ["Filtrar: tipo, id, texto…", "Filter: type, id, text…"],
  "frames.kind": ["Quais quadros", "Which frames"],
  "frames.all": ["Todos", "All"],
  "frames.in": ["Recebidos", "Received"],
  "frames.out": ["Enviados", "Sent"],
  "frames.replayed": ["Recuperados", "Replayed"],
  "frames.duplicates": ["Duplicatas", "Duplicates"],
  "frames.pause": ["Pausar", "Pause"],
  "frames.go": ["Continuar", "Go on"],
  "frames.copy": ["Copiar", "Copy"],
  "frames.copied": ["Copiado: {count} quadros.", "Copied: {count} frames."],
  "frames.copy.failed": [
    "O navegador não deixou copiar; exporte o JSON.",
    "The browser did not let it be copied; export the JSON.",
  ],
  "frames.export": ["Exportar JSON", "Export JSON"],
  "frames.count": ["{shown} de {kept}", "{shown} of {kept}"],
  "frames.waiting": ["{count} novos", "{count} new"],
  "frames.shown": ["A lista mostra os {limit} mais novos que passam pelo filtro.", "The list shows the newest {limit} that pass the filter."],
  "frames.full": [
    "Guardados os últimos {limit} quadros, até {size} MB; {dropped} mais antigos foram esquecidos.",
    "The last {limit} frames are kept, up to {size} MB; {dropped} older ones were forgotten.",
  ],
  "frame.in": ["recebido", "received"],
  "frame.out": ["enviado", "sent"],
  "frame.replayed": ["recuperado", "replayed"],
  "frame.duplicate": ["duplicata", "duplicate"],

  connections: ["Conexões", "Connections"],
  "connections.title": ["Conexões do gateway", "Connections of the gateway"],
  "connections.admin": ["Como administrador", "As administrator"],
  "connections.off": [
    "Ligue para ver quem está conectado e quanto falta entregar a cada um.",
    "Switch on to see who is connected and how much each is owed.",
  ],
  "connections.forbidden": ["O token não tem o papel admin.", "The token does not have the role admin."],
  "connections.more": ["Só as {limit} mais novas são mostradas.", "Only the newest {limit} are shown."],
  "connections.type": ["Tipo", "Type"],
  "connections.lag": ["Atraso", "Lag"],
  "connections.owed": ["A entregar", "Owed"],
  "connections.buffered": ["Em memória", "Buffered"],
  "connections.idle": ["Calada há", "Idle for"],
  "connections.since": ["Desde", "Since"],
  "connections.this": ["esta página", "this page"],
};

const ATTRIBUTES = { tLabel: "aria-label", tHint: "placeholder" };

const changed = new EventTarget();

export let language = "pt-BR";

/** The text of `key` in the language chosen, its `{names}` replaced. */
export function t(key, values = {}) {
  const text = WORDS[key]?.[language === "en" ? 1 : 0] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Whether there is a text of that key; for keys that are made of what the gateway says. */
export function knows(key) {
  return Object.hasOwn(WORDS, key);
}

/** The language to begin with: as chosen before, or else as the browser wants it. */
export function preferred(stored) {
  if (stored === "pt-BR" || stored === "en") return stored;
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.toLowerCase().split("-")[0]);
  return wanted.find((tag) => tag === "pt" || tag === "en") === "en" ? "en" : "pt-BR";
}

/** Change the language of all that carries `data-t…`, and of whoever listens. */
export function setLanguage(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    const selector = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const node of document.querySelectorAll(`[data-${selector}]`)) node.setAttribute(attribute, t(node.dataset[name]));
  }
  changed.dispatchEvent(new Event("change"));
}

/** Call `act` now and whenever the language changes. */
export function inLanguage(act) {
  changed.addEventListener("change", act);
  act();
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

export function percent(fraction) {
  return new Intl.NumberFormat(language, { style: "percent" }).format(fraction);
}

/** `ms` since 1970 as the time of day. */
export function clock(ms, milliseconds = false) {
  const more = milliseconds ? { fractionalSecondDigits: 3 } : {};
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, ...more };
  return new Intl.DateTimeFormat(language, options).format(ms);
}
