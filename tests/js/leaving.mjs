// A process that closes its client once it is in some state, and has nothing else to do then.

import { WebSocket } from "ws";
import { connect } from "../../cidadao_rt/edges/static/client.js";

const [url, transport, until] = process.argv.slice(2);
const rt = connect(url, {
  token: "t",
  transports: [transport],
  WebSocket,
  backoffSeconds: 3600,
  backoffMaxSeconds: 3600,
});
rt.addEventListener("status", ({ detail }) => {
  if (detail.state === until) setImmediate(() => rt.close());
  if (detail.state === "closed") console.log("closed");
});
