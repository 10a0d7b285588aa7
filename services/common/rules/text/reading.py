"""From a text to the rule that it means; what is wrong is told with its line and column."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from services.common.rules import model
from services.common.rules.model import Operator, Rule, TimeWindow, Value
from services.common.rules.text.syntax import (
    Call,
    Expression,
    Items,
    Junction,
    Literal,
    Name,
    Negation,
    Relation,
    RuleTextInvalid,
    expression,
)
from services.common.rules.text.vocabulary import AGGREGATES, INFIX, METHODS, QUANTIFIERS, instant, span
from services.common.rules.validation import DEPTH_MAX

T = TypeVar("T", str, float, bool)
_SUBJECT = "a trait, score(…) or a figure like events(…).count()"
_MEMBERS = ("members", "others")


def parse(text: str) -> Rule:
    """The rule that ``text`` means; ``RuleTextInvalid``. Whether the rule is valid is for ``validate`` to say."""
    return _rule(expression(text), 1)


def _rule(asked: Expression, depth: int) -> Rule:
    if depth > DEPTH_MAX:
        raise RuleTextInvalid(asked.place, f"rules are nested at most {DEPTH_MAX} deep")
    match asked:
        case Junction(_, whole, parts):
            rules = tuple(_rule(part, depth + 1) for part in parts)
            return model.AllOf(rules) if whole else model.AnyOf(rules)
        case Negation(_, part):
            return model.Not(_rule(part, depth + 1))
        case Call(_, "all" | "any", (only,), None):
            kind = model.AllOf if asked.name == "all" else model.AnyOf
            return kind((_rule(only, depth + 1),))
        case Call(_, name, _, None) if name in _FUNCTIONS:
            return _FUNCTIONS[name](asked)
        case Call() if _base(asked) == "sequence":
            return _sequence(asked)
        case Call(_, name, (only,), Call(_, function, _, None)) if name in QUANTIFIERS and function in _MEMBERS:
            return _members(asked, QUANTIFIERS[name], _rule(only, depth + 1))
    return _compared(asked, depth)


def _base(asked: Expression) -> str:
    """The function that a chain of methods begins with; empty where it begins otherwise."""
    while isinstance(asked, Call) and asked.target is not None:
        asked = asked.target
    return asked.name if isinstance(asked, Call) else ""


def _compared(asked: Expression, depth: int) -> Rule:
    match asked:
        case Relation(_, left, "in", Items(_, items)):
            return _condition(left, Operator.ANY_OF, items, depth)
        case Relation(_, _, "in", right):
            raise RuleTextInvalid(right.place, "`in` needs a list", ["["])
        case Relation(_, left, operator, right):
            return _condition(left, INFIX[operator], (right,), depth)
        case Call(_, "has" | "missing", arguments, None):
            (subject,) = _count(asked, arguments, 1)
            return _condition(subject, Operator.EXISTS if asked.name == "has" else Operator.NOT_EXISTS, (), depth)
        case Call(_, "notIn", (Items(_, items),), target) if target is not None:
            return _condition(target, Operator.NOT_ANY_OF, items, depth)
        case Call(_, name, arguments, target) if target is not None and name in METHODS:
            return _condition(target, METHODS[name], arguments, depth)
    expected = ['a comparison, for example city == "Rome" or vip.isTrue()']
    raise RuleTextInvalid(asked.place, f"{_shown(asked)} is no condition", expected)


def _condition(subject: Expression, operator: Operator, values: Sequence[Expression], depth: int) -> Rule:
    given = tuple(map(_value, values))
    if isinstance(subject, Call) and isinstance(subject.target, Call) and _base(subject) in _MEMBERS:
        return _member_count(subject, operator, given, depth)
    if (trait := _group_trait(subject)) is not None:
        kind, path = trait
        return model.GroupTraitCondition(kind, model.Comparison(path, operator, given))
    if isinstance(subject, Call) and subject.target is None and subject.name == "score":
        return model.ScoreCondition(_text(subject, 1)[0], operator, given)
    if isinstance(subject, Call) and _base(subject) == "events":
        return _figure(subject, operator, given)
    return model.Comparison(_path(subject), operator, given)


def _group_trait(asked: Expression) -> tuple[str, str] | None:
    """The kind of group and the path, if ``asked`` is a trait of ``group(…)``."""
    parts: list[str] = []
    while isinstance(asked, Name) and asked.target is not None:
        parts, asked = [asked.name, *parts], asked.target
    if not parts and isinstance(asked, Call) and asked.name == "field" and asked.target is not None:
        parts, asked = _text(asked, 1), asked.target
    if parts and isinstance(asked, Call) and (asked.name, asked.target) == ("group", None):
        return _kind(asked), ".".join(parts)
    return None


def _kind(asked: Call) -> str:
    return _text(asked, 1)[0] if asked.arguments else ""


def _members(
    asked: Call,
    quantifier: model.Quantifier,
    rule: Rule | None,
    operator: Operator | None = None,
    values: tuple[Value, ...] = (),
) -> Rule:
    assert isinstance(asked.target, Call)
    others = asked.target.name == "others"
    return model.MembersCondition(_kind(asked.target), quantifier, rule, others, operator, values)


def _member_count(asked: Call, operator: Operator, values: tuple[Value, ...], depth: int) -> Rule:
    assert isinstance(asked.target, Call)
    if asked.name != "count" or asked.target.target is not None:
        expected = [".any(…)", ".all(…)", ".none(…)", ".count(…) >= 2"]
        raise RuleTextInvalid(asked.place, f"{asked.name} is not known of members", expected)
    counted = _rule(_count(asked, asked.arguments, 1)[0], depth + 1) if asked.arguments else None
    return _members(asked, model.Quantifier.COUNT, counted, operator, values)


def _path(asked: Expression) -> str:
    match asked:
        case Name(_, name, None):
            return name
        case Name(_, name, target) if target is not None:
            return f"{_path(target)}.{name}"
        case Call(_, "field", _, None):
            return _text(asked, 1)[0]
    raise RuleTextInvalid(asked.place, f"{_shown(asked)} cannot be compared", [_SUBJECT])


def _figure(asked: Call, operator: Operator, values: tuple[Value, ...]) -> Rule:
    if asked.name not in AGGREGATES or asked.target is None:
        problem = f"{_shown(asked)} cannot be compared: a figure over the events is needed"
        raise RuleTextInvalid(asked.place, problem, [f".{name}(…)" for name in AGGREGATES])
    aggregate = AGGREGATES[asked.name]
    counts = aggregate is model.Aggregate.COUNT
    arguments = _count(asked, asked.arguments, 0 if counts else 1)
    chain = _chain(asked.target, ("where", "within", "before", "since", "until"))
    return model.EventCondition(
        event=_text(chain.base, 1)[0],
        aggregate=aggregate,
        operator=operator,
        values=values,
        property="" if counts else _path(arguments[0]),
        where=_where(chain),
        window=_window(chain),
    )


@dataclass(frozen=True, slots=True)
class _Chain:
    """A function, and the methods that were called on it, by name."""

    base: Call
    methods: dict[str, Call]

    def argument(self, name: str) -> Expression | None:
        """What the method was given; ``None`` if it was not called."""
        call = self.methods.get(name)
        return _count(call, call.arguments, 1)[0] if call else None


def _chain(asked: Expression, allowed: Sequence[str]) -> _Chain:
    methods: dict[str, Call] = {}
    while isinstance(asked, Call) and asked.target is not None:
        if asked.name not in allowed:
            raise RuleTextInvalid(asked.place, f"{asked.name} cannot be called here", [f".{name}" for name in allowed])
        if asked.name in methods:
            raise RuleTextInvalid(methods[asked.name].place, f"{asked.name} is given twice")
        methods[asked.name], asked = asked, asked.target
    if not isinstance(asked, Call):
        raise RuleTextInvalid(asked.place, f"{_shown(asked)} cannot be called", [_SUBJECT])
    return _Chain(asked, methods)


def _where(chain: _Chain) -> tuple[model.Comparison, ...]:
    asked = chain.argument("where")
    if asked is None:
        return ()
    parts = asked.parts if isinstance(asked, Junction) and asked.all else (asked,)
    return tuple(map(_comparison, parts))


def _comparison(asked: Expression) -> model.Comparison:
    found = None if isinstance(asked, Junction | Negation) else _compared(asked, 1)
    if not isinstance(found, model.Comparison):
        problem = "only comparisons of properties with && between them stand in where(…)"
        raise RuleTextInvalid(asked.place, problem)
    return found


def _window(chain: _Chain) -> TimeWindow:
    def end(name: str, kind: type) -> int | None:
        asked = chain.argument(name)
        if asked is None:
            return None
        value = _value(asked)
        if isinstance(value, kind) and isinstance(value, model.Span | model.Instant):
            return value.micros
        wanted = 'duration("30d")' if kind is model.Span else 'timestamp("2026-01-31T00:00:00Z")'
        raise RuleTextInvalid(asked.place, f"{name} needs another value", [wanted])

    return TimeWindow(
        end("within", model.Span), end("before", model.Span), end("since", model.Instant), end("until", model.Instant)
    )


def _sequence(asked: Call) -> Rule:
    chain = _chain(asked, ("within", "before", "since", "until"))
    return model.SequenceCondition(tuple(map(_step, chain.base.arguments)), _window(chain))


def _step(asked: Expression) -> model.SequenceStep:
    if _base(asked) not in ("step", "never"):
        raise RuleTextInvalid(asked.place, f"{_shown(asked)} is no step", ['step("…")', 'never("…")'])
    chain = _chain(asked, ("where", "within"))
    window = _window(replace(chain, methods={key: call for key, call in chain.methods.items() if key == "within"}))
    return model.SequenceStep(_text(chain.base, 1)[0], _where(chain), window.within, chain.base.name == "never")


def _value(asked: Expression) -> Value:
    match asked:
        case Literal(_, value):
            return value
        case Call(_, "timestamp", _, None):
            return model.Instant(_read(asked, instant, "a time as RFC 3339, with its zone"))
        case Call(_, "duration", _, None):
            return model.Span(_read(asked, span, "a duration like 30d or 1h30m (d, h, m, s, ms, us)"))
        case Call(_, "earlier", arguments, None):
            step, field = _count(asked, arguments, 2)
            return model.StepField(_integer(step), _path(field))
    expected = ["a text", "a number", "true", "false", "timestamp(…)", "duration(…)"]
    raise RuleTextInvalid(asked.place, f"{_shown(asked)} is no value", expected)


def _read(asked: Call, read: Callable[[str], int | None], wanted: str) -> int:
    (text,) = _text(asked, 1)
    found = read(text)
    if found is None:
        raise RuleTextInvalid(asked.arguments[0].place, f"{text!r} cannot be read", [wanted])
    return found


def _consent(asked: Call) -> Rule:
    purpose, channel = [*_text(asked, 1 if len(asked.arguments) < 2 else 2), ""][:2]
    return model.ConsentCondition(purpose, channel, asked.name == "consent")


def _bucket(asked: Call) -> Rule:
    salt, start, end = _count(asked, asked.arguments, 3)
    return model.BucketCondition(_literal(salt, str, "a text"), _integer(start), _integer(end))


_FUNCTIONS: dict[str, Callable[[Call], Rule]] = {
    "segment": lambda asked: model.SegmentCondition(_text(asked, 1)[0]),
    "list": lambda asked: model.ListCondition(_text(asked, 1)[0]),
    "consent": _consent,
    "noConsent": _consent,
    "bucket": _bucket,
}


def _count(asked: Call, arguments: Sequence[Expression], count: int) -> Sequence[Expression]:
    if len(arguments) != count:
        problem = f"{asked.name} takes {count} argument{'' if count == 1 else 's'}, not {len(arguments)}"
        raise RuleTextInvalid(asked.place, problem)
    return arguments


def _text(asked: Call, count: int) -> list[str]:
    return [_literal(each, str, "a text") for each in _count(asked, asked.arguments, count)]


def _integer(asked: Expression) -> int:
    number = _literal(asked, float, "a whole number")
    if number < 0 or number != int(number) or number > 2**32 - 1:
        raise RuleTextInvalid(asked.place, f"{number:g} cannot stand here", ["a whole number, not negative"])
    return int(number)


def _literal(asked: Expression, kind: type[T], wanted: str) -> T:
    if isinstance(asked, Literal) and isinstance(asked.value, kind):
        return asked.value
    raise RuleTextInvalid(asked.place, f"{_shown(asked)} cannot stand here", [wanted])


def _shown(asked: Expression) -> str:
    match asked:
        case Literal(_, value):
            return repr(value)
        case Name(_, name) | Call(_, name):
            return name if isinstance(asked, Name) else f"{name}(…)"
        case Items():
            return "a list"
    return "this"
