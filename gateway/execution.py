"""From the text of a request to its answer: parsed, checked, priced once for each text; then executed."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, TypeGuard, cast

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
    parse,
    subscribe,
    validate,
)

from gateway import errors
from gateway.context import Context
from gateway.cost import Cost, costs
from gateway.limits import Limits, check_cost, check_shape, operations
from services.common.errors import InvalidArgument, Refusal
from services.common.grpc_errors import DeadlineExceeded

CACHED_DOCUMENTS_MAX = 500
VALIDATION_ERRORS_MAX = 20
_AWAITABLE = (CoroutineType, asyncio.Future)

Answer = dict[str, Any]


class OperationUnknown(InvalidArgument):
    """The document has several operations and the request names none, or one that is not there."""


class WebSocketNeeded(InvalidArgument):
    """A subscription was sent as an HTTP request."""


class DocumentTooLarge(InvalidArgument):
    """The document has too many characters. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that is ready to be executed, or the errors that refuse it."""

    document: DocumentNode | None = None
    costs: Mapping[str, Cost] | None = None
    errors: tuple[dict[str, Any], ...] = ()

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation that is asked for; ``OperationUnknown``."""
        found = operations(self.document) if self.document else []
        for operation in found:
            if (len(found) == 1 and not name) or (operation.name and operation.name.value == name):
                return operation
        raise OperationUnknown("name one of the document's operations in `operationName`")


def is_introspection(operation: OperationDefinitionNode) -> bool:
    """Whether the operation asks about the schema and about nothing else."""
    selections = operation.selection_set.selections
    return all(isinstance(each, FieldNode) and each.name.value.startswith("__") for each in selections)


class Execution:
    """Executes documents against one schema, within limits. Prepared documents are kept, the newest ones."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, service_of: errors.ServiceOf, seconds_max: float) -> None:
        self._schema = schema
        self._limits = limits
        self._service_of = service_of
        self._seconds_max = seconds_max
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()

    def prepare(self, text: str) -> Prepared:
        """The document, parsed and checked, or what is wrong with it. The same text is looked at once."""
        known = self._prepared.get(text)
        if known is not None:
            self._prepared.move_to_end(text)
            return known
        prepared = self._look_at(text)
        self._prepared[text] = prepared
        if len(self._prepared) > CACHED_DOCUMENTS_MAX:
            self._prepared.popitem(last=False)
        return prepared

    async def execute(
        self, prepared: Prepared, operation: OperationDefinitionNode, variables: dict[str, Any], context: Context
    ) -> Answer:
        """The answer to one operation."""
        name, cost, extensions = self._priced(prepared, operation, variables)
        try:
            check_cost(cost, self._limits)
            if operation.operation is OperationType.SUBSCRIPTION:
                raise WebSocketNeeded("subscriptions are answered over WebSocket, by the protocol graphql-transport-ws")
            result = await self._run(cast(DocumentNode, prepared.document), name, variables, context)
        except Refusal as refusal:
            return {"errors": [errors.refused(refusal)], "extensions": extensions}
        return self._answer(result, extensions)

    async def answers(
        self, prepared: Prepared, operation: OperationDefinitionNode, variables: dict[str, Any], context: Context
    ) -> AsyncGenerator[Answer, None]:
        """The answers to an operation of any kind: one, or those of a subscription until its source ends.

        An answer without ``data`` is the last. What interrupts a source is raised.
        """
        if operation.operation is not OperationType.SUBSCRIPTION:
            yield await self.execute(prepared, operation, variables, context)
            return
        name, cost, extensions = self._priced(prepared, operation, variables)
        check_cost(cost, self._limits)
        document = cast(DocumentNode, prepared.document)
        begun = subscribe(
            self._schema,
            document,
            context_value=context,
            variable_values=variables,
            operation_name=name or None,
            is_awaitable=_is_awaitable,
        )
        results = await begun if _is_awaitable(begun) else begun
        if isinstance(results, ExecutionResult):
            yield {"errors": self._answer(results, extensions)["errors"]}
            return
        try:
            async for result in cast(AsyncGenerator[ExecutionResult, None], results):
                yield self._answer(result, extensions)
        finally:
            await cast(AsyncGenerator[ExecutionResult, None], results).aclose()

    def failure(self, error: Exception) -> dict[str, Any]:
        """What interrupted the source of a subscription, as an error of an answer."""
        return errors.formatted(GraphQLError(str(error), original_error=error), self._service_of)

    def _priced(
        self, prepared: Prepared, operation: OperationDefinitionNode, variables: dict[str, Any]
    ) -> tuple[str, int, dict[str, Any]]:
        name = operation.name.value if operation.name else ""
        cost = prepared.costs[name](variables) if prepared.costs else 0
        return name, cost, {"cost": {"requestedQueryCost": cost, "maximumAvailable": self._limits.cost_max}}

    async def _run(
        self, document: DocumentNode, name: str, variables: dict[str, Any], context: Context
    ) -> ExecutionResult:
        running = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=variables,
            operation_name=name or None,
            is_awaitable=_is_awaitable,
        )
        if isinstance(running, ExecutionResult):
            return running
        try:
            async with asyncio.timeout(self._seconds_max):
                return await running
        except TimeoutError:
            raise DeadlineExceeded(f"the request took longer than {self._seconds_max:g} s") from None

    def _answer(self, result: ExecutionResult, extensions: dict[str, Any]) -> Answer:
        answer: Answer = {"data": result.data}
        if result.errors:
            answer["errors"] = [errors.formatted(error, self._service_of) for error in result.errors]
        answer["extensions"] = extensions
        return answer

    def _look_at(self, text: str) -> Prepared:
        limits = self._limits
        try:
            if len(text) > limits.document_characters_max:
                maximum = limits.document_characters_max
                raise DocumentTooLarge(f"{len(text)} characters; at most {maximum}", maximum=maximum)
            document = parse(text, max_lexical_tokens=limits.tokens_max)
            check_shape(document, limits)
        except Refusal as refusal:
            return Prepared(errors=(errors.refused(refusal),))
        except GraphQLError as error:
            return Prepared(errors=(errors.formatted(error, self._service_of),))
        faults = validate(self._schema, document, max_errors=VALIDATION_ERRORS_MAX)
        if faults:
            return Prepared(errors=tuple(_invalid(fault) for fault in faults))
        return Prepared(document, costs(self._schema, document))


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    """Asked of every value: one check for what resolvers give, in place of the library's three for anything."""
    return isinstance(value, _AWAITABLE)


def _invalid(fault: GraphQLError) -> dict[str, Any]:
    return {**fault.formatted, "extensions": {"code": errors.VALIDATION_FAILED}}
