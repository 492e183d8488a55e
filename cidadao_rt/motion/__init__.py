"""What moves: broker, hub, gateway, agents, metrics. Knows the event loop, not aiohttp.web."""
