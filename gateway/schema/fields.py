"""Root fields and edges: functions that take and answer protobuf messages, each with the rule of who may ask.

    @query(by_rpc("profiles.GetCustomer"))
    async def customer(info: Info, id: ID) -> pb.Customer | None: ...

The GraphQL types follow from the annotations; an enum is annotated ``Annotated[int, pb.Measure]``. Every such field is
nullable, so that one service that is down costs one field of the answer and not all of it.
"""

import inspect
import types
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from strawberry.annotation import StrawberryAnnotation
from strawberry.parent import StrawberryParent
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.fields.resolver import StrawberryResolver
from strawberry.types.info import Info
from strawberry.types.unset import UNSET

from gateway.schema import descriptions
from gateway.schema.access import Access
from gateway.schema.connections import Page, connection_type
from gateway.schema.enums import graphql_enum
from gateway.schema.from_proto import ProtoTypes
from gateway.schema.proto_fields import camel_case

F = TypeVar("F", bound=Callable[..., Any])
Root = Literal["Query", "Mutation", "Subscription"]


class GuardedField(StrawberryField):
    """A field that is refused, before anything is asked of a service, to callers who lack its scope."""

    access: Access


@dataclass(frozen=True, slots=True)
class _Declared:
    owner: Root | type
    function: Callable[..., Any]
    access: Access
    name: str


class Fields:
    """The root fields and edges that were declared."""

    def __init__(self, proto_types: ProtoTypes) -> None:
        self._types = proto_types
        self._declared: list[_Declared] = []

    def query(self, access: Access) -> Callable[[F], F]:
        """Declare a root field of ``Query``."""
        return self._declare("Query", access)

    def mutation(self, access: Access) -> Callable[[F], F]:
        """Declare a root field of ``Mutation``; what was loaded before it is forgotten, as it may change it."""
        return self._declare("Mutation", access)

    def subscription(self, access: Access) -> Callable[[F], F]:
        """Declare a root field of ``Subscription``: an asynchronous generator of messages."""
        return self._declare("Subscription", access)

    def edge(self, owner: type, access: Access, name: str = "") -> Callable[[F], F]:
        """Declare a field of ``owner`` that asks a service; its first parameter is the object, a ``Parent``.

        ``name`` is needed where the module has another function of that name.
        """
        return self._declare(owner, access, name)

    def of(self, owner: Root | type) -> list[StrawberryField]:
        """The fields that were declared for ``owner``."""
        return [self._field(declared) for declared in self._declared if declared.owner is owner]

    def owners(self) -> list[type]:
        """The types that have edges."""
        return list({declared.owner: None for declared in self._declared if isinstance(declared.owner, type)})

    def _declare(self, owner: Root | type, access: Access, name: str = "") -> Callable[[F], F]:
        def add(function: F) -> F:
            self._declared.append(_Declared(owner, function, access, name or function.__name__))
            return function

        return add

    def _field(self, declared: _Declared) -> GuardedField:
        function, access = declared.function, declared.access
        hints = get_type_hints(function, include_extras=True)
        field = GuardedField(
            python_name=declared.name,
            graphql_name=camel_case(declared.name),
            type_annotation=StrawberryAnnotation(self._answer(hints["return"]) | None),
            base_resolver=StrawberryResolver(function),
            description=_description(function, access),
            is_subscription=declared.owner == "Subscription",
        )
        field.arguments = [
            StrawberryArgument(
                python_name=parameter.name,
                graphql_name=camel_case(parameter.name),
                type_annotation=StrawberryAnnotation(self._asked(hints[parameter.name])),
                default=UNSET if parameter.default is None else parameter.default,
            )
            for parameter in inspect.signature(function).parameters.values()
            if not _is_reserved(hints[parameter.name])
        ]
        field.access = access
        return field

    def _answer(self, annotation: Any) -> Any:
        """The type in the schema of what a resolver answers."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is AsyncGenerator:
            return self._answer(arguments[0])
        if origin is Page:
            return connection_type(self._answer(arguments[0]))
        return self._translated(annotation, self._answer, self._types.object_type)

    def _asked(self, annotation: Any) -> Any:
        """The type in the schema of what a resolver takes."""
        return self._translated(annotation, self._asked, self._types.input_type)

    @staticmethod
    def _translated(annotation: Any, again: Callable[[Any], Any], exposed: Callable[[Any], type]) -> Any:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            return Union[tuple(again(each) for each in arguments)]  # noqa: UP007  # the members are known at run time only
        if origin is list:
            return list[again(arguments[0])]  # type: ignore[misc]
        if origin is Annotated:
            enums = [each for each in annotation.__metadata__ if isinstance(each, EnumTypeWrapper)]
            if enums:
                return graphql_enum(enums[0].DESCRIPTOR)
            return Annotated[(again(arguments[0]), *annotation.__metadata__)]
        if isinstance(annotation, type) and issubclass(annotation, Message):
            return exposed(annotation.DESCRIPTOR)
        return annotation


def _is_reserved(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return any(isinstance(each, StrawberryParent) for each in annotation.__metadata__)
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Info)


def _description(function: Callable[..., Any], access: Access) -> str:
    written = inspect.getdoc(function) or descriptions.of(access.comment_of) or ""
    return f"{written} {access.sentence}".strip()
