"""The invented world that the agents investigate: themes of public spending, what is bought, and who sells it.

Ministries are real and go by their names. Suppliers are not: every name contains "Fictícia", "Fictício" or "Fictícios",
and every CNPJ starts with "00.000." and has wrong check digits, so nobody real can be mistaken for one.
"""

import msgspec

from .portuguese import begins, words_of


class Supplier(msgspec.Struct, frozen=True):
    """An invented supplier. `cnpj` is formatted ("00.000.123/0001-99") and invalid."""

    name: str
    cnpj: str


class Theme(msgspec.Struct, frozen=True):
    """A field of public spending.

    `label` follows "de" or "em" without an article. `stems` (see `begins`) are those of words that point to the
    theme. `organs` are ministries (all masculine in Portuguese).
    `price` is the usual range of a contract's value, in reais.
    """

    label: str
    stems: tuple[str, ...]
    organs: tuple[str, ...]
    objects: tuple[str, ...]
    suppliers: tuple[Supplier, ...]
    modalities: tuple[str, ...]
    price: tuple[float, float]


_PREGAO = "pregão eletrônico"
_DISPENSA = "dispensa de licitação"
INEXIGIBILIDADE = "inexigibilidade"
_CONCORRENCIA = "concorrência"

_SAUDE = "Ministério da Saúde"
_EDUCACAO = "Ministério da Educação"
_GESTAO = "Ministério da Gestão e da Inovação em Serviços Públicos"
_DEFESA = "Ministério da Defesa"
_JUSTICA = "Ministério da Justiça e Segurança Pública"
_TRANSPORTES = "Ministério dos Transportes"
_CIDADES = "Ministério das Cidades"
_CIENCIA = "Ministério da Ciência, Tecnologia e Inovação"
_ASSISTENCIA = "Ministério do Desenvolvimento e Assistência Social, Família e Combate à Fome"
_INTEGRACAO = "Ministério da Integração e do Desenvolvimento Regional"
_AGRARIO = "Ministério do Desenvolvimento Agrário e Agricultura Familiar"
_CULTURA = "Ministério da Cultura"
_TURISMO = "Ministério do Turismo"
_FAZENDA = "Ministério da Fazenda"

_NAMES = {
    "saude": (
        "Farmacêutica Exemplo Fictícia Ltda.",
        "Hospitalar Fictícia Céu de Papel Ltda.",
        "Medicamentos Faz de Conta Comércio Fictício Ltda.",
        "Insumos Fictícios do Planalto Inventado Ltda.",
        "Laboratório Fictício Aurora de Mentira S.A.",
    ),
    "merenda": (
        "Alimentos Fictícios Sabor de Papel Ltda.",
        "Cooperativa Fictícia Horta Imaginária",
        "Hortifrúti Fictício Cerrado de Conto Ltda.",
        "Distribuidora Fictícia Grão Inventado Ltda.",
        "Refeições Exemplo Fictícia Ltda.",
    ),
    "ti": (
        "Tecnologia Fictícia Nuvem de Algodão Ltda.",
        "Sistemas Fictícios Bit Perdido S.A.",
        "Informática Exemplo Fictícia Ltda.",
        "Software Fictício Tela Azul Ltda.",
        "Dados Fictícios Planilha Mágica Ltda.",
    ),
    "obras": (
        "Construtora Fictícia Castelo de Areia Ltda.",
        "Engenharia Exemplo Fictícia S.A.",
        "Empreiteiros Fictícios Tijolo de Vento Ltda.",
        "Projeto Fictício Arquitetura de Papel Ltda.",
        "Pavimentadora Fictícia Estrada Imaginária S.A.",
    ),
    "limpeza": (
        "Limpadora Fictícia Vassoura Encantada Ltda.",
        "Asseio Exemplo Fictícia Ltda.",
        "Serviços Fictícios Balde sem Fundo Ltda.",
        "Conservadora Fictícia Brilho de Mentira Ltda.",
        "Grupo Fictício Espuma Leve S.A.",
    ),
    "vigilancia": (
        "Vigilância Exemplo Fictícia Ltda.",
        "Segurança Fictícia Coruja de Papelão Ltda.",
        "Guardiões Fictícios Portão Aberto Ltda.",
        "Monitoramento Fictício Olho de Vidro S.A.",
        "Portaria Fictícia Sentinela Imaginária Ltda.",
    ),
    "transporte": (
        "Transportadora Fictícia Roda Quadrada Ltda.",
        "Locadora Exemplo Fictícia Ltda.",
        "Combustíveis e Derivados Fictícios Tanque Vazio Ltda.",
        "Viação Fictícia Rota Imaginária S.A.",
        "Posto Fictício Curva do Conto Ltda.",
    ),
    "emergencia": (
        "Suprimentos Fictícios Última Hora Ltda.",
        "Logística Fictícia Ponte Aérea Imaginária S.A.",
        "Comércio Exemplo Fictícia Ltda.",
        "Abrigo Fictício Lona Inventada Ltda.",
        "Importadora Fictícia Pressa de Papel Ltda.",
    ),
    "eventos": (
        "Agência Fictícia Palanque de Papelão Ltda.",
        "Produtora Exemplo Fictícia Ltda.",
        "Eventos Fictícios Cortina de Fumaça Ltda.",
        "Estúdio Fictício Som do Silêncio Ltda.",
        "Gráfica Fictícia Tinta Invisível S.A.",
    ),
    "geral": (
        "Papelaria Exemplo Fictícia Ltda.",
        "Comercial Fictícia Três Luas Ltda.",
        "Grupo Fictício Arco de Papel S.A.",
        "Atacado Fictício Meia-Lua de Mentira Ltda.",
        "Consultores Fictícios Nuvem Rosa Ltda.",
    ),
}


def _invalid_cnpj(number: int) -> str:
    digits = [0, 0, 0, 0, 0, *(int(digit) for digit in f"{number:03d}"), 0, 0, 0, 1]
    weights = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    right = 0 if rest < 2 else 11 - rest
    # The first check digit is any but the right one, whatever the second is.
    wrong = (right + 1 + number % 9) % 10
    return f"00.000.{number:03d}/0001-{wrong}{number % 10}"


# From 101 on: 00.000.000 is the root of a real bank.
_NUMBERS = iter(range(101, 1000))
_SUPPLIERS = {
    field: tuple(Supplier(name, _invalid_cnpj(next(_NUMBERS))) for name in names) for field, names in _NAMES.items()
}

GENERAL = Theme(
    "contratos públicos",
    (),
    (_GESTAO, _FAZENDA, _CULTURA, _CIENCIA, _JUSTICA),
    (
        "fornecimento de material de expediente",
        "serviços de limpeza e conservação",
        "serviços de apoio administrativo",
        "locação de equipamentos",
        "serviços de manutenção predial",
    ),
    _SUPPLIERS["geral"],
    (_PREGAO, _DISPENSA, INEXIGIBILIDADE, _CONCORRENCIA),
    (80_000.0, 2_500_000.0),
)
"""The theme of a query that points to none."""

THEMES = (
    Theme(
        "contratos de saúde",
        ("saude", "medic", "hospital", "vacina", "covid", "pandemi", "leito", "farmac", "sus$", "ambulanci"),
        (_SAUDE, _EDUCACAO, _DEFESA),
        (
            "aquisição de medicamentos de uso contínuo",
            "aquisição de luvas e máscaras descartáveis",
            "locação de ventiladores pulmonares",
            "aquisição de testes rápidos",
            "manutenção de equipamentos hospitalares",
        ),
        _SUPPLIERS["saude"],
        (_PREGAO, _DISPENSA, INEXIGIBILIDADE),
        (250_000.0, 8_000_000.0),
    ),
    Theme(
        "merenda escolar",
        ("merenda", "escol", "aliment", "creche", "educa", "ensino", "aluno"),
        (_EDUCACAO, _ASSISTENCIA, _AGRARIO),
        (
            "fornecimento de gêneros para a merenda escolar",
            "preparo e distribuição de refeições escolares",
            "fornecimento de hortifrúti da agricultura familiar",
            "fornecimento de leite em pó integral",
        ),
        _SUPPLIERS["merenda"],
        (_PREGAO, _DISPENSA),
        (120_000.0, 3_000_000.0),
    ),
    Theme(
        "contratos de TI",
        ("ti$", "software", "informat", "tecnolog", "comput", "sistema", "nuvem", "licenca", "digita"),
        (_GESTAO, _CIENCIA, _FAZENDA),
        (
            "serviços de computação em nuvem",
            "licenciamento de software de gestão",
            "desenvolvimento e sustentação de sistemas",
            "aquisição de computadores e monitores",
            "suporte técnico a usuários",
        ),
        _SUPPLIERS["ti"],
        (_PREGAO, INEXIGIBILIDADE, _DISPENSA),
        (300_000.0, 9_000_000.0),
    ),
    Theme(
        "obras e reforma predial",
        ("obra", "reforma", "predi", "constru", "engenhar", "paviment", "ponte", "rodovi", "infraestrut"),
        (_CIDADES, _TRANSPORTES, _EDUCACAO, _INTEGRACAO),
        (
            "reforma predial da sede",
            "construção de unidade de atendimento",
            "pavimentação de vias de acesso",
            "manutenção predial preventiva e corretiva",
            "elaboração de projetos de engenharia",
        ),
        _SUPPLIERS["obras"],
        (_CONCORRENCIA, _PREGAO, _DISPENSA),
        (500_000.0, 20_000_000.0),
    ),
    Theme(
        "serviços de limpeza",
        ("limp", "conserva", "asseio", "higien", "faxin"),
        (_GESTAO, _SAUDE, _EDUCACAO),
        (
            "serviços continuados de limpeza e conservação",
            "limpeza de fachadas e áreas externas",
            "fornecimento de material de limpeza",
            "limpeza hospitalar",
        ),
        _SUPPLIERS["limpeza"],
        (_PREGAO, _DISPENSA),
        (90_000.0, 2_000_000.0),
    ),
    Theme(
        "serviços de vigilância",
        ("vigil", "seguranca", "portari", "monitora"),
        (_JUSTICA, _GESTAO, _CULTURA),
        (
            "vigilância armada e desarmada",
            "monitoramento eletrônico de acessos",
            "serviços de portaria e recepção",
            "manutenção de câmeras e alarmes",
        ),
        _SUPPLIERS["vigilancia"],
        (_PREGAO, _DISPENSA),
        (150_000.0, 4_000_000.0),
    ),
    Theme(
        "transporte e frota",
        ("transport", "veicul", "combusti", "frota", "onibus", "passage", "viage"),
        (_TRANSPORTES, _EDUCACAO, _JUSTICA),
        (
            "locação de veículos com motorista",
            "fornecimento de combustíveis para a frota",
            "transporte escolar rural",
            "manutenção de veículos oficiais",
        ),
        _SUPPLIERS["transporte"],
        (_PREGAO, _DISPENSA),
        (110_000.0, 3_500_000.0),
    ),
    Theme(
        "contratações emergenciais",
        ("emergenc", "calamidad", "enchent", "desastre", "urgen"),
        (_INTEGRACAO, _ASSISTENCIA, _SAUDE),
        (
            "aquisição emergencial de cestas de alimentos",
            "aquisição emergencial de kits de higiene",
            "montagem de abrigos temporários",
            "fornecimento emergencial de água potável",
        ),
        _SUPPLIERS["emergencia"],
        (_DISPENSA,),
        (200_000.0, 6_000_000.0),
    ),
    Theme(
        "publicidade e eventos",
        ("publicid", "evento", "comunica", "show", "festa", "cultura", "grafic"),
        (_CULTURA, _TURISMO, _GESTAO),
        (
            "organização de eventos institucionais",
            "apresentação artística em evento público",
            "serviços gráficos e de impressão",
            "montagem de palcos e estruturas",
        ),
        _SUPPLIERS["eventos"],
        (_PREGAO, INEXIGIBILIDADE, _DISPENSA),
        (60_000.0, 1_500_000.0),
    ),
)
"""Themes in the order in which they win where a query points to several equally."""


def theme_of(query: str) -> Theme:
    """The theme most words of a query point to; the first such, or `GENERAL` where none does."""
    words = set(words_of(query))
    scores = [sum(begins(word, theme.stems) for word in words) for theme in THEMES]
    best = max(scores)
    return THEMES[scores.index(best)] if best else GENERAL
