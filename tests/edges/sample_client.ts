// The JavaScript/TypeScript client of the API document, verbatim; only its indentation, which the document's copy had
// lost, is put back. The test puts the address of its own server in the place of the document's.

class CidadaoWebSocket {
  private ws: WebSocket;
  private reconnectAttempts = 0;
  private maxReconnectAttempts = 5;
  private reconnectDelay = 1000;
  constructor(private token: string) {}
  connect(connectionType: string = 'general') {
    const wsUrl = `wss://api.cidadao.ai/ws?token=${this.token}&connection_type=${connectionType}`;
    this.ws = new WebSocket(wsUrl);
    this.ws.onopen = () => {
      console.log('WebSocket connected');
      this.reconnectAttempts = 0;
      this.setupHeartbeat();
    };
    this.ws.onmessage = (event) => {
      const message = JSON.parse(event.data);
      this.handleMessage(message);
    };
    this.ws.onerror = (error) => {
      console.error('WebSocket error:', error);
    };
    this.ws.onclose = (event) => {
      console.log('WebSocket closed:', event.code, event.reason);
      this.handleDisconnect();
    };
  }
  send(type: string, data: any) {
    if (this.ws.readyState === WebSocket.OPEN) {
      const message = {
        type,
        data,
        timestamp: new Date().toISOString(),
        correlation_id: this.generateCorrelationId()
      };
      this.ws.send(JSON.stringify(message));
    }
  }
  private handleMessage(message: WebSocketMessage) {
    switch (message.type) {
      case 'investigation_update':
        this.onInvestigationUpdate(message.data);
        break;
      case 'agent_analysis':
        this.onAgentAnalysis(message.data);
        break;
      case 'error':
        this.onError(message.data);
        break;
      default:
        console.log('Unknown message type:', message.type);
    }
  }
  private setupHeartbeat() {
    setInterval(() => {
      if (this.ws.readyState === WebSocket.OPEN) {
        this.send('ping', {});
      }
    }, 30000); // 30 seconds
  }
  private handleDisconnect() {
    if (this.reconnectAttempts < this.maxReconnectAttempts) {
      setTimeout(() => {
        console.log(`Reconnecting... (${this.reconnectAttempts + 1}/${this.maxReconnectAttempts})`);
        this.reconnectAttempts++;
        this.connect();
      }, this.reconnectDelay * Math.pow(2, this.reconnectAttempts));
    }
  }
  private generateCorrelationId(): string {
    return `${Date.now()}-${Math.random().toString(36).substr(2, 9)}`;
  }
  // Event handlers
  onInvestigationUpdate(data: any) {
    // Override in implementation
  }
  onAgentAnalysis(data: any) {
    // Override in implementation
  }
  onError(data: any) {
    // Override in implementation
  }
}
