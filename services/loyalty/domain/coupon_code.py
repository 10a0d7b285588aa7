"""Coupon codes: drawn at random from letters and digits that nobody confuses, in a campaign's pattern."""

from collections.abc import Callable, Iterator

from services.common.errors import InvalidArgument

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""31 characters, a prime, so that the check character finds every wrong one and every two that changed places.
Without 0 and O, 1, I and L."""
CODE_LENGTH_MAX = 64
PLACES_MAX = 30
"""As many as the check character can weigh differently."""
SCARCITY = 1_000_000
"""How many codes there could be for each that there is: what a guess is up against."""
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_EVEN = 256 - 256 % len(ALPHABET)

Draw = Callable[[int], bytes]
"""So many random bytes, from a source that nobody can predict."""


class CouponPatternInvalid(InvalidArgument):
    """A pattern that makes too few codes, or codes that cannot be."""


def normal(code: str) -> str:
    """A code as it is kept: people write codes in lower case and with spaces."""
    return "".join(code.split()).upper()


def check_pattern(pattern: str, checksum: bool, count: int) -> None:
    """``CouponPatternInvalid`` unless ``pattern`` makes ``count`` codes that cannot be guessed. ``#`` is random."""
    places = pattern.count("#") - checksum
    if pattern != normal(pattern) or not pattern.isascii() or not pattern.isprintable() or "/" in pattern:
        raise CouponPatternInvalid("a pattern is capital letters, digits, signs but / and #", field="pattern")
    if len(pattern) > CODE_LENGTH_MAX or places > PLACES_MAX:
        limits = f"{CODE_LENGTH_MAX} characters and {PLACES_MAX} random ones"
        raise CouponPatternInvalid(f"a pattern has at most {limits}", field="pattern")
    if checksum and not pattern.endswith("#"):
        raise CouponPatternInvalid("the check character is the last: the pattern must end with #", field="pattern")
    if places < (needed := _places(count)):
        raise CouponPatternInvalid(
            f"{count} codes that cannot be guessed need {needed} random places (#), and there are {places}",
            field="pattern",
            needed=needed,
        )


def _places(count: int) -> int:
    places = 1
    while len(ALPHABET) ** places < count * SCARCITY:
        places += 1
    return places


def generate(pattern: str, checksum: bool, count: int, draw: Draw) -> Iterator[str]:
    """``count`` codes, each random place drawn evenly; they may repeat each other, as dice may."""
    characters = _characters(draw)
    for _ in range(count):
        places = len(pattern) - 1 if checksum else len(pattern)
        body = "".join([next(characters) if sign == "#" else sign for sign in pattern[:places]])
        yield body + check_character(body) if checksum else body


def _characters(draw: Draw) -> Iterator[str]:
    while True:
        for byte in draw(4096):
            if byte < _EVEN:  # the rest would make some characters likelier than others
                yield ALPHABET[byte % len(ALPHABET)]


def check_character(body: str) -> str:
    """The sum of the characters' values, each times its place, modulo 31. Characters outside the alphabet count 0."""
    values = [_VALUES[character] for character in body if character in _VALUES]
    return ALPHABET[sum(place * value for place, value in enumerate(values, 1)) % len(ALPHABET)]


def checks(code: str) -> bool:
    """Whether the last character is the check character of those before it."""
    return len(code) > 1 and check_character(code[:-1]) == code[-1]
