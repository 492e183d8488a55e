"""uWebSockets by way of socketify: publish and fan-out are its own, in C++; callbacks are Python. Argument: PORT."""

import sys

from socketify import App, CompressOptions, OpCode

OPTIONS = {
    "compression": CompressOptions.DISABLED,
    "max_payload_length": 1 << 16,
    "idle_timeout": 960,
    "max_backpressure": 64 << 20,
}


def upgrade(response, request, context):
    """Take the topic from the query, and go on."""
    response.upgrade(
        request.get_header("sec-websocket-key"),
        request.get_header("sec-websocket-protocol"),
        request.get_header("sec-websocket-extensions"),
        context,
        request.get_query("t") or "0000",
    )


def opened(ws):
    """Subscribe to the topic that `upgrade` found."""
    ws.subscribe(ws.get_user_data())


def main() -> None:
    """Serve until the process is ended."""
    app = App()
    app.ws("/ws", {**OPTIONS, "upgrade": upgrade, "open": opened, "message": lambda ws, text, op: ws.send(text, op)})
    app.ws("/pub", {**OPTIONS, "message": lambda _ws, text, _op: app.publish(text[:4], text[4:], OpCode.TEXT)})
    app.listen(int(sys.argv[1]))
    app.run()


if __name__ == "__main__":
    main()
