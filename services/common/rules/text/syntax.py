"""The syntax: CEL without arithmetic, indices, maps and the conditional, which rules have no use for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from services.common.errors import InvalidArgument

LENGTH_MAX = 200_000

_GRAMMAR = r"""
?start: disjunction
?disjunction: conjunction ("||" conjunction)*
?conjunction: relation ("&&" relation)*
?relation: unary | unary COMPARE unary | unary IN unary
?unary: "!" unary -> negation
      | member
?member: primary
       | member "." NAME -> field
       | member "." NAME "(" arguments ")" -> method
?primary: NAME -> name
        | NAME "(" arguments ")" -> call
        | "(" disjunction ")"
        | "[" arguments "]" -> items
        | NUMBER -> number
        | STRING -> string
        | TRUE -> true
        | FALSE -> false
arguments: [disjunction ("," disjunction)* ","?]
COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
IN.2: /in(?![A-Za-z0-9_])/
TRUE.2: /true(?![A-Za-z0-9_])/
FALSE.2: /false(?![A-Za-z0-9_])/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
STRING: /"(\\.|[^"\\\n])*"/ | /'(\\.|[^'\\\n])*'/
COMMENT: /\/\/[^\n]*/
%ignore /[ \t\r\n]+/
%ignore COMMENT
"""
_EXPECTED = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a text",
    "TRUE": "true",
    "FALSE": "false",
    "COMPARE": "a comparison",
    "IN": "in",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COMMA": ",",
    "DOT": ".",
    "BANG": "!",
    "__ANON_0": "||",
    "__ANON_1": "&&",
    "$END": "the end",
}


class RuleTextInvalid(InvalidArgument):
    """A text that is no rule. Metadata ``line`` and ``column`` (from 1), ``problem``, and ``expected`` where known."""

    def __init__(self, place: "Place", problem: str, expected: Sequence[str] = ()) -> None:
        hint = f"; expected {', '.join(expected)}" if expected else ""
        metadata: dict[str, str | int] = {"line": place.line, "column": place.column, "problem": problem}
        if expected:
            metadata["expected"] = ", ".join(expected)
        super().__init__(f"line {place.line}, column {place.column}: {problem}{hint}", **metadata)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something begins, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number or a truth value."""

    place: Place
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A name, or with ``target`` what is called so in it: ``target.name``."""

    place: Place
    name: str
    target: "Expression | None" = None


@dataclass(frozen=True, slots=True)
class Call:
    """``name(arguments)``, or ``target.name(arguments)``."""

    place: Place
    name: str
    arguments: tuple["Expression", ...]
    target: "Expression | None" = None


@dataclass(frozen=True, slots=True)
class Items:
    """``[one, other]``."""

    place: Place
    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``!part``."""

    place: Place
    part: "Expression"


@dataclass(frozen=True, slots=True)
class Relation:
    """``left operator right``."""

    place: Place
    left: "Expression"
    operator: str
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Junction:
    """Two parts or more with ``&&`` (``all``) or ``||`` between them."""

    place: Place
    all: bool
    parts: tuple["Expression", ...]


Expression: TypeAlias = Literal | Name | Call | Items | Negation | Relation | Junction


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


class _Build(Transformer[Token, Expression]):
    """Makes expressions while the parser reduces: no depth of a text exhausts the stack."""

    def disjunction(self, parts: list[Expression]) -> Expression:
        return Junction(parts[0].place, False, tuple(parts))

    def conjunction(self, parts: list[Expression]) -> Expression:
        return Junction(parts[0].place, True, tuple(parts))

    def relation(self, parts: list[Any]) -> Expression:
        left, operator, right = parts
        return Relation(left.place, left, str(operator), right)

    def negation(self, parts: list[Expression]) -> Expression:
        return Negation(parts[0].place, parts[0])

    def field(self, parts: list[Any]) -> Expression:
        target, name = parts
        return Name(target.place, str(name), target)

    def method(self, parts: list[Any]) -> Expression:
        target, name, arguments = parts
        return Call(_place(name), str(name), arguments, target)

    def name(self, parts: list[Token]) -> Expression:
        return Name(_place(parts[0]), str(parts[0]))

    def call(self, parts: list[Any]) -> Expression:
        name, arguments = parts
        return Call(_place(name), str(name), arguments)

    def items(self, parts: list[Any]) -> Expression:
        (arguments,) = parts
        return Items(arguments[0].place if arguments else Place(1, 1), arguments)

    def arguments(self, parts: list[Any]) -> tuple[Expression, ...]:
        return tuple(part for part in parts if part is not None)

    def number(self, parts: list[Token]) -> Expression:
        return Literal(_place(parts[0]), float(parts[0]))

    def string(self, parts: list[Token]) -> Expression:
        return Literal(_place(parts[0]), _unescaped(parts[0]))

    def true(self, parts: list[Token]) -> Expression:
        return Literal(_place(parts[0]), True)

    def false(self, parts: list[Token]) -> Expression:
        return Literal(_place(parts[0]), False)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SAME = frozenset("\\\"'`?")
_HEX = {"x": 2, "u": 4, "U": 8}


def _unescaped(token: Token) -> str:
    """The text in quotes, with the escapes of CEL (octal ones aside)."""
    text, parts, at = token[1:-1], [], 0
    while (slash := text.find("\\", at)) >= 0:
        parts.append(text[at:slash])
        kind = text[slash + 1]
        at = slash + 2
        if kind in _HEX:
            parts.append(_character(token, text[at : at + _HEX[kind]], _HEX[kind]))
            at += _HEX[kind]
        elif kind in _ESCAPES or kind in _SAME:
            parts.append(_ESCAPES.get(kind, kind))
        else:
            raise RuleTextInvalid(_place(token), f"the text has an escape that is not known: \\{kind}")
    return "".join([*parts, text[at:]])


def _character(token: Token, digits: str, length: int) -> str:
    try:
        if len(digits) == length and not 0xD800 <= int(digits, 16) <= 0xDFFF:
            return chr(int(digits, 16))
    except (ValueError, OverflowError):
        pass
    raise RuleTextInvalid(_place(token), f"the text has an escape that is no character: {digits}")


_parser = Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Build(), maybe_placeholders=False)


def expression(text: str) -> Expression:
    """The expression that ``text`` is; ``RuleTextInvalid``."""
    if len(text) > LENGTH_MAX:
        raise RuleTextInvalid(Place(1, 1), f"a rule has at most {LENGTH_MAX:,} characters, this text {len(text):,}")
    try:
        parsed: Any = _parser.parse(text)
    except UnexpectedInput as error:
        raise _fault(text, error) from None
    built: Expression = parsed
    return built


def _fault(text: str, error: UnexpectedInput) -> RuleTextInvalid:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        problem, expected = f"{str(error.token)!r} cannot stand here", error.expected
        place = Place(error.line, error.column)
    elif isinstance(error, UnexpectedCharacters):
        problem, expected = f"{error.char!r} cannot stand here", error.allowed or set()
        place = Place(error.line, error.column)
    else:
        problem, expected = "the text ends too soon", getattr(error, "expected", set())
        lines = text.split("\n")
        place = Place(len(lines), len(lines[-1]) + 1)
    assert isinstance(error, UnexpectedToken | UnexpectedCharacters | UnexpectedEOF)
    return RuleTextInvalid(place, problem, sorted({_EXPECTED.get(name, name) for name in expected}))
