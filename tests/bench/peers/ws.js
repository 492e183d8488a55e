// Node's ws: `send` to each subscriber in turn, as its documentation does it. Argument: PORT.
'use strict';
const http = require('http');
const { WebSocketServer } = require('ws');

const topics = new Map();
const members = (topic) => {
  if (!topics.has(topic)) topics.set(topic, new Set());
  return topics.get(topic);
};

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1 << 16 });
const server = http.createServer();

server.on('upgrade', (request, socket, head) => sockets.handleUpgrade(request, socket, head, (ws) => {
  const url = new URL(request.url, 'http://localhost');
  ws.on('error', () => ws.terminate());
  if (url.pathname === '/pub') {
    // A message is a topic of four digits and a payload.
    ws.on('message', (message) => {
      const payload = message.subarray(4);
      for (const one of members(message.toString('latin1', 0, 4))) one.send(payload, { binary: false });
    });
    return;
  }
  const topic = members(url.searchParams.get('t') || '0000');
  topic.add(ws);
  ws.on('message', (message) => ws.send(message, { binary: false }));
  ws.on('close', () => topic.delete(ws));
}));

server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
