"""The patterns that a finding may have, and what a person calls each of them.

Source: AGENTS.md, what each agent finds; the API document, "Agent Analysis".
"""

from collections.abc import Mapping
from types import MappingProxyType

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "price_anomaly": "preço fora do padrão",
        "vendor_concentration": "concentração em um fornecedor",
        "temporal_patterns": "acúmulo de contratos no tempo",
        "duplicate_contracts": "contratos duplicados",
        "payment_patterns": "aditivos acima do limite",
        "spending_trends": "tendência de gastos",
        "vendor_behavior": "comportamento de fornecedor",
        "seasonal_patterns": "sazonalidade dos gastos",
        "value_distribution": "distribuição de valores",
        "bid_rigging": "licitação combinada",
        "phantom_vendor": "empresa de fachada",
        "invoice_fraud": "notas fiscais suspeitas",
        "price_fixing": "preços combinados",
        "conflict_of_interest": "conflito de interesses",
        "benford_law": "desvio da Lei de Benford",
        "cartel_detection": "indício de cartel",
        "nepotism_detection": "indício de nepotismo",
        "financial_flow": "fluxo financeiro circular",
        "investigation_plan": "plano de investigação",
        "coverage_gap": "lacuna nos dados",
        "restrictive_clause": "cláusula restritiva",
        "copied_text": "texto copiado",
        "legal_noncompliance": "falha de conformidade",
        "policy_effect": "efeito da política pública",
        "integrity_gap": "falha de integridade",
        "value_aggregation": "mapa de valores",
        "spending_inequality": "desigualdade de gastos",
        "access_gap": "lacuna de acesso",
        "spatial_inequality": "desigualdade regional",
        "regional_cluster": "agrupamento regional",
        "recurring_case": "caso recorrente",
        "spending_forecast": "previsão de gastos",
        "question_route": "encaminhamento da pergunta",
        "citizen_guide": "guia para o cidadão",
        "accessible_view": "página acessível",
        "learning_activity": "atividade de aprendizagem",
        "visual_story": "narrativa visual",
        "public_message": "mensagem ao público",
        "executive_summary": "resumo executivo",
    }
)
"""What a person calls each pattern, in pt-BR, lower case."""
