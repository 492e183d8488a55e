"""Where clients arrive. An edge imports no other edge but `admission` and `outlet`; the WebSocket's stands on
`takeover` and `wire`."""
