"""What is published: JSON of a wished length that carries when it was due, and which one it is.

Receivers look for a marker before the 31 characters of the stamp, so it may lie anywhere in what a server makes of it.
"""

STAMP_LENGTH = 31
"""Characters: 19 of the time in nanoseconds of the monotonic clock, 12 of the number."""

MARKER = b'"t":"'
"""What stands before the stamp in a payload of ours, whose own JSON a server may have rewritten compactly."""

_WORDS = b"o pregao da prefeitura foi aprovado e o pedido segue em analise pela equipe da ouvidoria; "
_MASK = (1 << 64) - 1

ONE = 1
COUNT_BITS = 40
"""The low bits of a weight count events, so that one addition keeps both a count and a sum."""

COUNT_MASK = (1 << COUNT_BITS) - 1


def stamp(due: int, number: int) -> bytes:
    """The stamp of event `number`, due at `due` nanoseconds."""
    return b"%019d%012d" % (due, number)


def payload(due: int, number: int, length: int) -> bytes:
    """A JSON object of exactly `length` bytes, at least 60."""
    head = b'{"t":"%019d%012d","text":"' % (due, number)
    left = length - len(head) - 2
    shift = number % len(_WORDS)
    text = (_WORDS[shift:] + _WORDS * (left // len(_WORDS) + 1))[:left]
    return head + text + b'"}'


def weight(number: int) -> int:
    """A number that stands for event `number` in sums: 1 in the low bits, a mixed 64-bit value above.

    Sums of these differ where one event is missing and another came twice, although their counts do not. The mixing
    is that of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return (mixed ^ mixed >> 31) << COUNT_BITS | ONE
