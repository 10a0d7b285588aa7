"""The template language: Liquid by ``python-liquid``, strict, escaping, and with a limit on all that it may do.

A template is a program that a tenant writes. What one rendering may cost is bounded by counting: a template's size
is the number of its nodes and terms, every loop costs its length times the size of its block, and every filter costs
by the text it handles. Nothing else in the language repeats work.
"""

from collections.abc import Callable, Iterable
from typing import Any

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.exceptions import LiquidError, UndefinedError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import FalsyStrictUndefined, is_undefined

from services.crm.domain.template import SUBJECT_LENGTH_MAX, Content, RenderFailed, TemplateInvalid, Variables

WORK_MAX = 100_000
LOOP_MAX = 1_000
OUTPUT_BYTES_MAX = 512 * 1024
NUMBER_BITS_MAX = 1024
CHARACTERS_PER_WORK = 256
_ABSENT_TAGS = ("include", "render")
_ABSENT_FILTERS = ("safe",)


class LimitReached(LiquidError):
    """A rendering that would do more than one may."""


class LiquidRenderer:
    """The port ``Renderer``. HTML is escaped, subject and text are not."""

    def __init__(self) -> None:
        self._plain = _Environment(autoescape=False)
        self._html = _Environment(autoescape=True)

    def parse(self, content: Content) -> "LiquidRendering":
        return LiquidRendering(
            _parse(self._plain, "subject", content.subject),
            _parse(self._html, "html", content.html),
            _parse(self._plain, "text", content.text),
        )


class LiquidRendering:
    """The port ``Rendering``."""

    def __init__(self, subject: "_Template", html: "_Template", text: "_Template") -> None:
        self._subject, self._html, self._text = subject, html, text

    def render(self, variables: Variables) -> Content:
        subject = _render(self._subject, variables)
        if len(subject) > SUBJECT_LENGTH_MAX:
            raise RenderFailed(
                f"subject: it is longer than {SUBJECT_LENGTH_MAX} characters for this customer", part="subject"
            )
        return Content(subject, _render(self._html, variables), _render(self._text, variables))


class _Missing(FalsyStrictUndefined):
    """A variable that is not there: nothing can be done with it but ``default`` and ``if``."""

    __slots__ = ()


class _Context(RenderContext):
    """Counts the work of one rendering."""

    __slots__ = ("work",)

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        super().__init__(template, **options)
        self.work = 0

    def spend(self, work: int, token: Token | None) -> None:
        self.work += work
        if self.work > WORK_MAX:
            raise LimitReached("the template does more work than one rendering may", token=token)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        function = super().filter(name, token)

        def limited(value: object, *arguments: object, **options: object) -> object:
            for each in (value, *arguments, *options.values()):
                if name != "default" and is_undefined(each):
                    str(each)  # raises, with the variable's name
                self.spend(_weight(each, token), token)
            _refuse_growth(name, value, arguments, token)
            result = function(value, *arguments, **options)
            self.spend(_weight(result, token), token)
            return result

        return limited


class _Template(BoundTemplate):
    context_class = _Context


class _ForNode(ForNode):
    __slots__ = ("_block_size",)

    def render_to_output(self, context: RenderContext, buffer: Any) -> int:
        if not hasattr(self, "_block_size"):
            self._block_size = _size(self.block, context)
        _spend_loop(self.expression, self._block_size, context)
        return super().render_to_output(context, buffer)


class _TablerowNode(TablerowNode):
    __slots__ = ("_block_size",)

    def render_to_output(self, context: RenderContext, buffer: Any) -> int:
        if not hasattr(self, "_block_size"):
            self._block_size = _size(self.block, context)
        _spend_loop(self.expression, self._block_size, context)
        return super().render_to_output(context, buffer)


class _ForTag(ForTag):
    node_class = _ForNode


class _TablerowTag(TablerowTag):
    node_class = _TablerowNode


class _Environment(Environment):
    """Liquid with our limits, without what reads other templates, and without a way around escaping."""

    template_class = _Template
    loop_iteration_limit = LOOP_MAX
    local_namespace_limit = OUTPUT_BYTES_MAX
    output_stream_limit = OUTPUT_BYTES_MAX

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(undefined=_Missing, autoescape=autoescape)
        self.add_tag(_ForTag)
        self.add_tag(_TablerowTag)
        for tag in _ABSENT_TAGS:
            del self.tags[tag]
        for name in _ABSENT_FILTERS:
            del self.filters[name]


def _parse(environment: _Environment, part: str, source: str) -> _Template:
    try:
        template = environment.from_string(source, name=part)
        assert isinstance(template, _Template)
        context = _Context(template)
        size = sum(_size(node, context) for node in template.nodes)
    except LiquidError as error:
        raise TemplateInvalid(f"{part}: {error.message}", part=part, **_line(error)) from error
    except RecursionError as error:
        raise TemplateInvalid(f"{part}: it is nested too deep", part=part) from error
    if size > WORK_MAX:
        raise TemplateInvalid(f"{part}: it has {size} terms; at most {WORK_MAX} are allowed", part=part)
    return template


def _render(template: _Template, variables: Variables) -> str:
    part = template.name
    try:
        return template.render(variables)
    except UndefinedError as error:
        raise _missing(part, error) from error
    except LiquidError as error:
        raise RenderFailed(f"{part}: {error.message}", part=part, **_line(error)) from error
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise RenderFailed(f"{part}: {type(error).__name__}: {error}", part=part) from error


def _missing(part: str, error: UndefinedError) -> RenderFailed:
    what = str(error.message)
    if not what.endswith(" is undefined"):
        return RenderFailed(f"{part}: {what}", part=part, **_line(error))
    variable = what.removesuffix(" is undefined").strip("'")
    sentence = f"{part}: {variable} is not known for this customer; give it a `default`"
    return RenderFailed(sentence, part=part, variable=variable, **_line(error))


def _line(error: LiquidError) -> dict[str, int]:
    try:
        position = error.context()
    except ValueError:  # the end of the template
        return {}
    return {"line": position[0]} if position else {}


def _size(node: Node, context: RenderContext) -> int:
    terms = sum(_terms(expression, context) for expression in node.expressions())
    return 1 + terms + sum(_size(child, context) for child in node.children(context))


def _terms(expression: Expression, context: RenderContext) -> int:
    filters = expression.filters or [] if isinstance(expression, FilteredExpression) else []
    for each in filters:
        each.validate_filter_arguments(context.env)  # a filter that does not exist is found before anything is sent
    return 1 + len(filters) + sum(_terms(child, context) for child in expression.children())


def _spend_loop(loop: LoopExpression, block_size: int, context: RenderContext) -> None:
    assert isinstance(context, _Context)
    over = loop.iterable.evaluate(context)
    length = _length(over) if isinstance(over, range | list | tuple | dict) else 1
    if length > LOOP_MAX:
        raise LimitReached(f"a loop over {length} elements; at most {LOOP_MAX} are allowed", token=loop.token)
    context.spend(length * block_size, loop.token)


def _length(over: "range | list[Any] | tuple[Any, ...] | dict[Any, Any]") -> int:
    return max(0, over.stop - over.start) if isinstance(over, range) else len(over)  # len() of a range can overflow


def _weight(value: object, token: Token | None) -> int:
    """What handling ``value`` costs; ``LimitReached`` if it is larger than anything a mail needs."""
    if isinstance(value, str):
        if len(value) > OUTPUT_BYTES_MAX:
            raise LimitReached("a text is too long", token=token)
        return 1 + len(value) // CHARACTERS_PER_WORK
    if isinstance(value, range | list | tuple | dict):
        if (length := _length(value)) > LOOP_MAX:
            raise LimitReached(f"a list of {length} elements; at most {LOOP_MAX} are allowed", token=token)
        return 1 + length
    if isinstance(value, int) and value.bit_length() > NUMBER_BITS_MAX:
        raise LimitReached("a number is too large", token=token)
    return 1


def _refuse_growth(name: str, value: object, arguments: tuple[object, ...], token: Token | None) -> None:
    """Stop the two filters whose result can be as long as the product of their inputs before they make it."""
    grown = 0
    if name == "replace" and len(arguments) == 2:
        text, sought, put = str(value), str(arguments[0]), str(arguments[1])
        grown = text.count(sought) * len(put)
    elif name == "join" and isinstance(value, Iterable) and arguments:
        grown = sum(1 for _ in value) * len(str(arguments[0]))
    if grown > OUTPUT_BYTES_MAX:
        raise LimitReached(f"{name} makes a text that is too long", token=token)
