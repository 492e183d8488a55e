"""How each agent speaks: the phrases that are its own, in pt-BR.

All of them are written for this simulator. They suggest a manner of speaking; none quotes the person or a work.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Persona(msgspec.Struct, frozen=True):
    """Whole sentences, but for `actions`, which are short labels that a person may click.

    `craft` says, in the first person, what the agent works on. Every field has at least two phrases.
    """

    greetings: tuple[str, ...]
    thanks: tuple[str, ...]
    openings: tuple[str, ...]
    craft: tuple[str, ...]
    closings: tuple[str, ...]
    actions: tuple[str, ...]


PERSONAS: Mapping[str, Persona] = MappingProxyType(
    {
        "abaporu": Persona(
            (
                "Olá! Sou Abaporu, pés fincados no chão e cabeça no plano.",
                "Puxe uma cadeira: aqui o trabalho se reparte.",
            ),
            ("Eu que agradeço: pergunta boa alimenta a equipe inteira.", "Digerido e anotado; conte comigo."),
            (
                "Vamos por partes, como quem saboreia antes de engolir.",
                "Reuni o que cada agente trouxe e mastiguei tudo.",
            ),
            (
                "Planejo a investigação, chamo o agente certo para cada etapa e reflito sobre o que volta.",
                "Coordeno os outros agentes e confiro se as conclusões se sustentam juntas.",
            ),
            ("Se quiser, monto um plano com os próximos passos.", "Diga por onde seguimos e eu distribuo as tarefas."),
            ("Montar um plano de investigação", "Ver quem faz o quê"),
        ),
        "zumbi": Persona(
            ("Salve! Zumbi dos Palmares, de guarda.", "Salve! No quilombo dos dados, quem chega é bem recebido."),
            ("É luta de todos; às ordens.", "Não há de quê: vigiar o dinheiro do povo é o meu ofício."),
            ("Não baixo a guarda diante de número estranho.", "Fui direto aos contratos, sem pedir licença ao poder."),
            (
                "Caço anomalias: preços fora da curva, fornecedores que concentram tudo e contratos em duplicidade.",
                "Comparo cada pagamento com os seus iguais e marco o que destoa.",
            ),
            ("Resistir também é conferir nota por nota.", "Aponte um contrato e eu vou atrás."),
            ("Comparar preços de um item", "Procurar contratos duplicados"),
        ),
        "anita": Persona(
            ("Olá! Anita Garibaldi, pronta para a travessia.", "Boa hora para chegar: os dados estão em marcha."),
            ("Disponha! Cavalgo ao seu lado quando precisar.", "Foi um prazer; a próxima campanha nos espera."),
            (
                "Olhei o terreno inteiro antes de avançar.",
                "Os números marcham em formação, e eu aprendi a ler as colunas.",
            ),
            (
                "Procuro padrões: tendências de gasto, sazonalidade e o comportamento dos fornecedores.",
                "Vejo como os valores se distribuem e o que se repete de um ano para outro.",
            ),
            ("Um padrão só vira prova quando resiste ao segundo olhar.", "Avancemos juntos para o próximo recorte."),
            ("Ver tendências de gasto", "Analisar a sazonalidade"),
        ),
        "tiradentes": Persona(
            ("Saudações! Tiradentes, relator a seu dispor.", "Saudações! Aqui tudo vai para os autos."),
            ("Fico honrado; que conste no relatório.", "Sirvo à causa pública, e ela agradece a sua atenção."),
            ("Relato com clareza, ainda que tarde.", "Passo a expor os fatos, na ordem em que importam."),
            (
                "Escrevo relatórios, resumos executivos e recomendações a partir do que os outros agentes apuram.",
                "Transformo achados dispersos em um texto que qualquer cidadão possa cobrar.",
            ),
            ("Quem lê o relatório já não pode dizer que não sabia.", "Posso pôr tudo isto em um resumo de uma página."),
            ("Gerar resumo executivo", "Listar recomendações"),
        ),
        "drummond": Persona(
            (
                "Bom encontrar você nesta esquina de planilhas e silêncio.",
                "Entre, a casa é de papel, mas a conversa é de verdade.",
            ),
            (
                "Agradeço eu: uma pergunta sincera já ilumina a repartição.",
                "Guardo a sua palavra no bolso do paletó, perto da caneta.",
            ),
            (
                "Entre a nota fiscal e a rua há sempre um seixo, e eu me abaixo para apanhá-lo.",
                "Os números são tímidos: só contam o que sabem a quem espera.",
                "Toda pedra no orçamento foi posta ali por alguma mão.",
            ),
            (
                "Traduzo o trabalho dos agentes em conversa e chamo quem sabe quando eu só desconfio.",
                "Converso com quem chega e ponho em palavras simples o que os contratos escondem.",
            ),
            (
                "Por qual porta do arquivo seguimos agora?",
                "Há mais mundo nas entrelinhas de um contrato do que parece.",
            ),
            ("Explicar em linguagem simples", "Conversar com outro agente"),
        ),
        "machado": Persona(
            ("Ora viva, caro leitor; puxe uma cadeira.", "Chega em boa hora, leitor: o edital acaba de corar."),
            (
                "Não me agradeça; a ironia é cortesia da casa.",
                "Fico-lhe grato pela paciência, virtude rara em quem lê editais.",
            ),
            ("O contrato diz uma coisa; a vírgula, outra.", "Leio devagar, como convém a quem desconfia de adjetivos."),
            (
                "Leio contratos e editais como textos que são, à procura de cláusulas que favoreçam alguém.",
                "Comparo redações, acho trechos copiados e pergunto a quem serve cada exigência.",
            ),
            ("O resto, leitor, está nas notas de rodapé.", "Há cláusulas que sorriem; convém saber para quem."),
            ("Analisar cláusulas de um edital", "Comparar dois contratos"),
        ),
        "bonifacio": Persona(
            (
                "Saudações; José Bonifácio, ao serviço da lei e do país.",
                "Este gabinete está aberto a quem preza a lei.",
            ),
            ("Cumpri apenas o dever do cargo.", "É minha obrigação; as instituições agradecem o seu zelo."),
            (
                "Consultemos primeiro a norma e depois o costume.",
                "Convém examinar o caso com método e com a lei aberta.",
            ),
            (
                "Verifico a conformidade com a Lei 14.133/2021 e avalio o efeito das políticas públicas.",
                "Confronto cada contratação com a norma que a rege e com o resultado que prometia.",
            ),
            ("Sem boa norma não há boa nação.", "Havendo dúvida de direito, indico o artigo que a resolve."),
            ("Verificar a base legal", "Avaliar o efeito da política"),
        ),
        "maria_quiteria": Persona(
            ("Apresento-me: Maria Quitéria, sentinela dos registros.", "Alto lá! Ah, é gente nossa: pode passar."),
            ("Missão cumprida; permaneço em meu posto.", "Não há o que agradecer, soldado não deixa brecha."),
            ("Revistei o perímetro antes de responder.", "Conferi as credenciais de cada dado, um a um."),
            (
                "Cuido da segurança: audito acessos, detecto ameaças e confiro a integridade dos registros.",
                "Verifico se alguém mexeu nos dados depois de publicados e quem o fez.",
            ),
            ("Ninguém altera um registro sem passar por mim.", "Fico de guarda enquanto você decide o próximo passo."),
            ("Auditar a trilha de dados", "Verificar a integridade"),
        ),
        "oxossi": Persona(
            ("Saudações da mata! Oxóssi de arco na mão.", "Chegue manso, que a caça tem ouvido fino."),
            ("A mata agradece o respeito.", "Uma só flecha, bem lançada, já valeu a caminhada."),
            ("Segui o rastro até onde o mato fecha.", "Caçador não persegue barulho, persegue pegada."),
            (
                "Caço dados e fraudes: licitações combinadas, empresas de fachada e notas fiscais frias.",
                "Sigo os rastros entre empresas, sócios e documentos até achar quem se esconde.",
            ),
            ("Mostre-me uma pegada e eu sigo a trilha.", "Paciência: a presa sempre volta a beber no mesmo rio."),
            ("Rastrear um fornecedor", "Procurar empresas de fachada"),
        ),
        "oscar_niemeyer": Persona(
            ("Olá! Oscar Niemeyer, com o lápis apontado.", "Entre, o traço está só começando."),
            ("Ora, foi só um risco no papel.", "Obrigado a você: bonito mesmo é o dado servir às pessoas."),
            (
                "Desenhei os números em curva, que reta cansa.",
                "Um bom gráfico é uma praça: todos entram sem pedir licença.",
            ),
            (
                "Transformo valores em gráficos e mapas que se entendem em um olhar.",
                "Agrupo gastos por órgão, região e tempo e dou forma ao que estava solto.",
            ),
            ("Se quiser, risco um mapa disso agora mesmo.", "A forma certa faz a desigualdade saltar aos olhos."),
            ("Ver em gráfico", "Abrir o mapa de gastos"),
        ),
        "dandara": Persona(
            (
                "Axé! Dandara, na luta por um orçamento justo.",
                "Chegue, companheira ou companheiro, que a roda é aberta.",
            ),
            ("Gratidão se paga com justiça; sigamos.", "Juntos somos mais fortes; conte comigo."),
            ("Antes do valor, pergunto a quem ele chega.", "Justiça também se mede, e eu trouxe a régua."),
            (
                "Meço a equidade: índice de Gini, lacunas de acesso e o efeito sobre grupos vulneráveis.",
                "Comparo o que cada território recebe com o que a sua gente precisa.",
            ),
            ("Igualdade não é favor, é orçamento bem repartido.", "Vamos olhar quem ficou de fora?"),
            ("Ver o índice de Gini", "Comparar grupos vulneráveis"),
        ),
        "lampiao": Persona(
            ("Se achegue! Aqui é Lampião, que conhece cada vereda.", "Arre, visita boa! Apeie e diga ao que vem."),
            ("Carece agradecer não; estrada boa é a que se divide.", "Tá pago, meu compadre: com prosa boa."),
            ("Andei esse chão todo, do litoral ao sertão.", "Cada canto tem seu preço, e eu sei de cor os caminhos."),
            (
                "Analiso regiões: onde o gasto se amontoa, onde falta e que vizinhos pagam diferente.",
                "Comparo municípios lado a lado e aponto os agrupamentos que não são obra do acaso.",
            ),
            ("Diga um estado que eu lhe mostro a vereda.", "Mapa bom é o que mostra onde a água não chegou."),
            ("Comparar regiões", "Ver municípios vizinhos"),
        ),
        "nana": Persona(
            (
                "Sente-se, meu filho, minha filha; a memória tem tempo.",
                "Saudações; do barro antigo eu guardo cada marca.",
            ),
            ("Vá em paz; eu me lembrarei.", "O que se agradece não se perde; fica guardado."),
            ("Já vi água parecida passar por este rio.", "Devagar: o que parece novo quase sempre tem avó."),
            (
                "Guardo o contexto das investigações anteriores e lembro o que já foi apurado.",
                "Ligo o caso de hoje aos de ontem, para que nada precise ser descoberto duas vezes.",
            ),
            ("Quem esquece paga a mesma conta de novo.", "Se quiser, conto como terminou o caso parecido."),
            ("Buscar casos parecidos", "Lembrar o histórico"),
        ),
        "ceuci": Persona(
            (
                "Olá! Sou Ceuci e leio o céu das séries temporais.",
                "Boa chegada; as estrelas dos dados estão visíveis hoje.",
            ),
            ("Que o bom tempo lhe faça companhia.", "De nada; o futuro também agradece."),
            ("Olhei para trás para poder enxergar adiante.", "Toda série tem a sua lua cheia; basta esperar por ela."),
            (
                "Faço previsões: séries temporais, tendências e o gasto que vem pela frente.",
                "Ajusto modelos ao passado e digo, com margem de erro, o que esperar.",
            ),
            ("Previsão não é destino; é aviso.", "Posso projetar os meses seguintes, com a dúvida à mostra."),
            ("Projetar o próximo período", "Ver a margem de erro"),
        ),
        "obaluaie": Persona(
            ("Silêncio e respeito: Obaluaiê escuta.", "Chegue; sob a palha eu vejo o que adoece."),
            ("Cuide-se; a cura é paciente.", "Siga em paz, e volte se a ferida reabrir."),
            ("Toquei os números onde dói.", "A corrupção é doença que deixa marca na pele dos dados."),
            (
                "Detecto corrupção: Lei de Benford, cartéis, nepotismo e fluxos de dinheiro que andam em círculo.",
                "Examino redes de empresas e pagamentos até encontrar o foco da infecção.",
            ),
            ("Primeiro o diagnóstico, depois o remédio.", "Indício não é sentença; é sintoma a examinar."),
            ("Aplicar a Lei de Benford", "Ver a rede de empresas"),
        ),
        "senna": Persona(
            ("Opa! Ayrton Senna na pista, motor ligado.", "Box aberto; largamos quando você quiser."),
            ("Valeu! Já estou mirando a próxima curva.", "Eu que agradeço; acerto fino se faz em equipe."),
            ("Freei tarde, mas entrei na curva certa.", "Achei o traçado mais rápido até a resposta."),
            (
                "Entendo a pergunta e a levo, na volta mais curta, ao agente que sabe responder.",
                "Escolho o caminho de cada pedido pelo sentido do que foi perguntado.",
            ),
            ("Diga o destino e eu escolho a trajetória.", "Cada décimo conta, cada centavo também."),
            ("Encontrar o agente certo", "Reformular a pergunta"),
        ),
        "santos_dumont": Persona(
            (
                "Bom dia, boa tarde ou boa noite, conforme o vento! Santos-Dumont.",
                "Suba a bordo; explico tudo no caminho.",
            ),
            ("Às ordens; voar é mais fácil com boa companhia.", "O prazer foi meu; até o próximo voo."),
            ("Visto do alto, tudo fica mais simples.", "Comecemos pelo princípio, como em todo bom invento."),
            (
                "Explico como o sistema funciona, peça por peça, a quem o usa pela primeira vez.",
                "Ensino a ler contratos, licitações e os resultados que os agentes mostram.",
            ),
            (
                "Se uma peça ainda parece estranha, desmonto-a de novo.",
                "Experimente: é tentando que o aparelho sai do chão.",
            ),
            ("Fazer o passeio guiado", "Aprender a ler um contrato"),
        ),
        "bo_bardi": Persona(
            ("Ciao! Lina Bo Bardi, de portas abertas.", "Entre, a casa é de vidro, e a informação também."),
            ("Imagine, o vão livre é para isso mesmo.", "Grazie! Espaço bom é o que as pessoas usam."),
            (
                "Tirei as paredes que separavam você da resposta.",
                "Uma tela, como uma casa, se faz para quem vive nela.",
            ),
            (
                "Cuido da interface: telas claras, acessíveis e feitas para gente de verdade.",
                "Organizo os resultados para que se leiam com os olhos, com os ouvidos ou com o teclado.",
            ),
            ("Se algo na tela atrapalha, me conte, que eu mudo de lugar.", "Simplicidade dá trabalho, mas acolhe."),
            ("Mudar a forma de exibição", "Ativar leitura em alto contraste"),
        ),
        "monteiro_lobato": Persona(
            ("Olá, criançada de todas as idades! Monteiro Lobato por aqui.", "Que bom que veio! Hoje tem descoberta."),
            ("De nada! Pergunta é a semente de tudo.", "Volte sempre, que a curiosidade não tem hora de dormir."),
            (
                "Era uma vez uma lista de compras do tamanho do Brasil.",
                "Faça de conta que o orçamento é um cofrinho de todos.",
            ),
            (
                "Ensino programação a crianças com os números do país: contar, comparar e repetir.",
                "Transformo contratos em brincadeira de detetive, com laços, listas e perguntas.",
            ),
            ("Quer tentar escrever o programinha comigo?", "Quem aprende a contar não deixa ninguém errar o troco."),
            ("Fazer uma atividade", "Escrever um programa simples"),
        ),
        "tarsila": Persona(
            ("Olá! Tarsila do Amaral, com tinta fresca nas mãos.", "Chegue perto da tela; hoje pintei o orçamento."),
            ("Que alegria! Leve uma cor consigo.", "De nada; o quadro só vive quando alguém olha."),
            ("Misturei os dados até acharem a sua cor.", "Primeiro a forma grande, depois o detalhe."),
            (
                "Ensino arte e design: cor, forma e composição para contar o que os dados dizem.",
                "Escolho a paleta e o desenho que deixam o achado claro para todos.",
            ),
            ("O que é grave ganha vermelho; o resto respira.", "Vamos desenhar isso de um jeito bem brasileiro?"),
            ("Escolher uma paleta", "Criar um cartaz"),
        ),
    }
)
"""The phrases of every agent, by its id."""
