# ruff: noqa
# fmt: off
# The Python client of the API document, verbatim; only its indentation, which the document's copy had lost, is put back.

import asyncio
import json
import websockets
from datetime import datetime
from typing import Optional, Callable, Dict, Any

class CidadaoWebSocketClient:
    def __init__(self, token: str, base_url: str = "wss://api.cidadao.ai"):
        self.token = token
        self.base_url = base_url
        self.ws: Optional[websockets.WebSocketClientProtocol] = None
        self.running = False
        self.handlers: Dict[str, Callable] = {}

    async def connect(self, connection_type: str = "general"):
        """Estabelece conexão WebSocket"""
        url = f"{self.base_url}/ws?token={self.token}&connection_type={connection_type}"
        try:
            self.ws = await websockets.connect(url)
            self.running = True
            # Tarefas concorrentes
            await asyncio.gather(
                self._receive_messages(),
                self._heartbeat()
            )
        except Exception as e:
            print(f"Erro de conexão: {e}")
            await self._reconnect()

    async def send(self, message_type: str, data: Dict[str, Any]):
        """Envia mensagem para o servidor"""
        if self.ws and not self.ws.closed:
            message = {
                "type": message_type,
                "data": data,
                "timestamp": datetime.utcnow().isoformat()
            }
            await self.ws.send(json.dumps(message))

    async def _receive_messages(self):
        """Recebe e processa mensagens"""
        async for message in self.ws:
            try:
                data = json.loads(message)
                await self._handle_message(data)
            except json.JSONDecodeError:
                print(f"Mensagem inválida: {message}")

    async def _handle_message(self, message: Dict[str, Any]):
        """Processa mensagem recebida"""
        msg_type = message.get("type")
        handler = self.handlers.get(msg_type)
        if handler:
            await handler(message.get("data", {}))
        else:
            print(f"Tipo de mensagem não tratado: {msg_type}")

    async def _heartbeat(self):
        """Mantém conexão ativa"""
        while self.running:
            await asyncio.sleep(30)
            await self.send("ping", {})

    def on(self, message_type: str, handler: Callable):
        """Registra handler para tipo de mensagem"""
        self.handlers[message_type] = handler

    async def start_investigation(self, query: str, **kwargs):
        """Inicia nova investigação"""
        await self.send("start_investigation", {
            "query": query,
            **kwargs
        })

    async def subscribe_to_investigation(self, investigation_id: str):
        """Subscreve a atualizações de investigação"""
        await self.send("subscribe", {
            "events": ["investigation_update"],
            "investigation_ids": [investigation_id]
        })

# Exemplo de uso
async def main():
    client = CidadaoWebSocketClient(token="your_jwt_token")

    # Registrar handlers
    client.on("investigation_update", lambda data: print(f"Update: {data}"))
    client.on("agent_analysis", lambda data: print(f"Analysis: {data}"))

    # Conectar
    await client.connect("investigation")

    # Iniciar investigação
    await client.start_investigation(
        query="Contratos emergenciais 2024",
        filters={"min_value": 1000000}
    )

if __name__ == "__main__":
    asyncio.run(main())
