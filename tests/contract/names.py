"""The names of all drivers, as parameters of tests."""

TRANSPORTS = ("websocket", "sse", "poll")
NAMES = [f"{written}-{transport}" for written in ("raw", "python", "javascript") for transport in TRANSPORTS]
