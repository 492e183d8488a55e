"""What is measured, and how a connection's topics follow from its number."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load.

    `kind`: "fan" (events published and delivered), "idle" (connections opened and held: handshakes and memory) or
    "echo" (each connection sends what comes back). A fan-out keeps `outstanding` events in flight, or offers `rate`
    events a second.
    """

    name: str
    title: str
    kind: str
    connections: int
    topics: int = 1
    per_connection: int = 1
    outstanding: int = 0
    rate: int = 0
    lists: bool = True
    """Whether what is outstanding may be published in lists."""

    def topics_of(self, connection: int) -> range:
        """The topics that a connection follows."""
        first = connection % (self.topics // self.per_connection) * self.per_connection
        return range(first, first + self.per_connection)

    def smaller(self, scale: float) -> "Workload":
        """The same with fewer connections, and topics where there are as many, for a trial."""
        topics = self.topics if self.topics < 100 else max(1, round(self.topics * scale))
        return replace(self, connections=max(topics, round(self.connections * scale), 1), topics=topics)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("A", "1,000 subscribers, 16 events outstanding", "fan", 1000, outstanding=16),
        Workload("A1", "1,000 subscribers, 1 event outstanding", "fan", 1000, outstanding=1),
        Workload("B", "5,000 subscribers, 16 events outstanding", "fan", 5000, outstanding=16),
        Workload("D", "1,000 topics of 5 subscribers, 256 events outstanding", "fan", 5000, 1000, outstanding=256),
        Workload("E10", "1,000 subscribers of 10 topics each, 16 events outstanding", "fan", 1000, 10, 10, 16),
        Workload("L50", "50,000 deliveries a second to 1,000 subscribers", "fan", 1000, rate=50),
        Workload("L150", "150,000 deliveries a second to 1,000 subscribers", "fan", 1000, rate=150),
        Workload("idle", "10,000 connections, opened and left alone", "idle", 10_000),
        Workload("echo", "100 connections, one message in flight each", "echo", 100),
        Workload("publish", "1 subscriber, events published singly, 16 at once", "fan", 1, outstanding=16, lists=False),
        Workload("publish100", "1 subscriber, events published in lists of 100", "fan", 1, outstanding=100),
    )
}
