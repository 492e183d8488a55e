"""The part each agent plays in an investigation: in which stage, as what, and what it says while it works.

Source: AGENTS.md, "An investigation as the real system runs it"; the API document's four stages.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

STAGE_LINES = (
    "Coletando {theme} nas bases de transparência...",
    "Procurando anomalias em {theme}...",
    "Analisando padrões em {theme}...",
    "Preparando o relatório sobre {theme}...",
)
"""What is said of a stage in which no agent of the team has a part, in the order of `STAGE_WEIGHTS`."""


class Part(msgspec.Struct, frozen=True):
    """What one agent does.

    `stage` is an index into the stages of `STAGE_WEIGHTS`; `lines` are pt-BR progress messages in which `{theme}` is a
    theme's label.
    """

    stage: int
    analysis_type: str
    lines: tuple[str, ...]


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "abaporu": Part(
            0,
            "investigation_planning",
            ("Planejando a investigação de {theme}...", "Dividindo entre os agentes o trabalho sobre {theme}..."),
        ),
        "senna": Part(
            0,
            "semantic_routing",
            ("Escolhendo o melhor traçado para a pergunta...", "Encaminhando a pergunta a quem sabe de {theme}..."),
        ),
        "nana": Part(
            0,
            "memory_retrieval",
            ("Buscando na memória casos de {theme}...", "Relembrando investigações antigas sobre {theme}..."),
        ),
        "oxossi": Part(
            0,
            "fraud_detection",
            ("Rastreando fornecedores de {theme}...", "Seguindo pegadas de fraude em {theme}..."),
        ),
        "zumbi": Part(
            1,
            "anomaly_detection",
            ("Analisando anomalias em {theme}...", "Comparando preços de {theme}..."),
        ),
        "obaluaie": Part(
            1,
            "corruption_detection",
            ("Aplicando a Lei de Benford a {theme}...", "Ligando empresas, sócios e pagamentos de {theme}..."),
        ),
        "maria_quiteria": Part(
            1,
            "integrity_audit",
            ("Conferindo a integridade dos registros de {theme}...", "Auditando a trilha dos dados de {theme}..."),
        ),
        "machado": Part(
            2,
            "textual_analysis",
            ("Lendo editais de {theme} nas entrelinhas...", "Comparando as cláusulas dos editais de {theme}..."),
        ),
        "anita": Part(
            2,
            "pattern_detection",
            ("Buscando padrões em {theme}...", "Analisando tendências e sazonalidade em {theme}..."),
        ),
        "bonifacio": Part(
            2,
            "compliance_analysis",
            ("Verificando a conformidade legal de {theme}...", "Confrontando {theme} com a lei de licitações..."),
        ),
        "dandara": Part(
            2,
            "equity_analysis",
            ("Medindo a quem chega o gasto com {theme}...", "Calculando desigualdades em {theme}..."),
        ),
        "lampiao": Part(
            2,
            "regional_analysis",
            ("Percorrendo as regiões atrás de {theme}...", "Comparando regiões em {theme}..."),
        ),
        "ceuci": Part(
            2,
            "predictive_analysis",
            ("Projetando o gasto com {theme}...", "Ajustando séries temporais de {theme}..."),
        ),
        "oscar_niemeyer": Part(
            3,
            "data_visualization",
            ("Desenhando gráficos de {theme}...", "Traçando as curvas do gasto com {theme}..."),
        ),
        "bo_bardi": Part(
            3,
            "accessibility_review",
            ("Abrindo os resultados para todos os públicos...", "Revendo a acessibilidade dos resultados..."),
        ),
        "santos_dumont": Part(
            3,
            "citizen_education",
            ("Explicando passo a passo o que foi feito...", "Preparando um guia simples sobre {theme}..."),
        ),
        "monteiro_lobato": Part(
            3,
            "youth_education",
            ("Transformando os dados em atividade para a escola...", "Contando a investigação para os mais jovens..."),
        ),
        "tarsila": Part(
            3,
            "visual_education",
            ("Escolhendo cores e formas para os resultados...", "Compondo um painel sobre {theme}..."),
        ),
        "drummond": Part(
            3,
            "public_communication",
            ("Pondo os achados em palavras claras...", "Escrevendo ao público sobre {theme}..."),
        ),
        "tiradentes": Part(
            3,
            "report_summary",
            ("Redigindo o relatório sobre {theme}...", "Reunindo achados e recomendações..."),
        ),
    }
)
"""The parts in the order in which agents work: abaporu plans first, tiradentes reports last."""
