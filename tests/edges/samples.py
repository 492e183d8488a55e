"""The JSON samples of the API document, copied verbatim (the document has no indentation)."""

# Cliente → Servidor

START_INVESTIGATION = """\
{
"type": "start_investigation",
"data": {
"query": "Contratos emergenciais COVID-19 2020",
"filters": {
"date_range": "2020-01-01/2020-12-31",
"min_value": 1000000
},
"agents": ["zumbi", "anita", "tiradentes"]
}
}
"""

SUBSCRIBE = """\
{
"type": "subscribe",
"data": {
"events": ["investigation_update", "agent_analysis"],
"investigation_ids": ["inv_123", "inv_456"]
}
}
"""

AGENT_CHAT = """\
{
"type": "agent_chat",
"data": {
"agent": "abaporu",
"message": "Quais são os principais riscos encontrados?",
"context": {
"investigation_id": "inv_789"
}
}
}
"""

# Servidor → Cliente

CONNECTION_ESTABLISHED = """\
{
"type": "connection_established",
"data": {
"message": "WebSocket connection established",
"user_id": "user_123",
"connection_type": "general",
"server_time": "2024-01-15T10:30:00Z"
},
"timestamp": "2024-01-15T10:30:00Z"
}
"""

INVESTIGATION_UPDATE = """\
{
"type": "investigation_update",
"data": {
"investigation_id": "inv_789",
"status": "processing",
"progress": 45,
"current_agent": "zumbi",
"message": "Analisando anomalias em contratos..."
},
"timestamp": "2024-01-15T10:31:00Z"
}
"""

AGENT_ANALYSIS = """\
{
"type": "agent_analysis",
"data": {
"agent": "anita",
"analysis_type": "pattern_detection",
"findings": [
{
"pattern": "price_manipulation",
"confidence": 0.87,
"evidence_count": 12
}
],
"status": "completed"
},
"timestamp": "2024-01-15T10:32:00Z"
}
"""

ERROR = """\
{
"type": "error",
"data": {
"code": "INVALID_REQUEST",
"message": "Missing required field: investigation_id",
"details": {
"field": "investigation_id",
"required": true
}
},
"timestamp": "2024-01-15T10:33:00Z"
}
"""

PROGRESS_UPDATE = """\
{
"type": "progress_update",
"data": {
"investigation_id": "inv_789",
"overall_progress": 65,
"stages": {
"data_collection": 100,
"anomaly_detection": 80,
"pattern_analysis": 60,
"report_generation": 0
}
}
}
"""

METRICS_UPDATE = """\
{
"type": "metrics_update",
"data": {
"active_investigations": 42,
"agents_busy": 8,
"avg_response_time": 2.3,
"queue_size": 15
}
}
"""

CLIENT = {
    "start_investigation": START_INVESTIGATION,
    "subscribe": SUBSCRIBE,
    "agent_chat": AGENT_CHAT,
}

SERVER = {
    "connection_established": CONNECTION_ESTABLISHED,
    "investigation_update": INVESTIGATION_UPDATE,
    "agent_analysis": AGENT_ANALYSIS,
    "error": ERROR,
    "progress_update": PROGRESS_UPDATE,
    "metrics_update": METRICS_UPDATE,
}
