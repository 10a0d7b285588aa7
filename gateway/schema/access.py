"""Who may ask for a field: the rule that every root field and edge declares, taken from the rpc that backs it."""

from dataclasses import dataclass
from importlib import import_module

from google.protobuf.descriptor import MethodDescriptor
from tessera.common.v1 import options_pb2


class UnknownRpc(LookupError):
    """A field names an rpc that no contract has."""


@dataclass(frozen=True, slots=True)
class Access:
    """The scope that a caller needs, and the contract's words about the rpc; no scope: any valid token."""

    scope: str = ""
    comment_of: str = ""

    @property
    def sentence(self) -> str:
        """What the field's description says about it."""
        return f"Needs the scope `{self.scope}`." if self.scope else "Needs a token."


def by_rpc(name: str) -> Access:
    """The rule of the rpc ``<service>.<Rpc>``; ``UnknownRpc`` where there is none, so that a misspelt one fails."""
    method = _method(name)
    return Access(method.GetOptions().Extensions[options_pb2.access].scope, method.full_name)


def by_scope(scope: str) -> Access:
    """The rule of a field that several rpcs back, or none."""
    return Access(scope)


ANY_TOKEN = Access()


def _method(name: str) -> MethodDescriptor:
    service, _, rpc = name.partition(".")
    try:
        contract = import_module(f"tessera.{service}.v1.{service}_service_pb2").DESCRIPTOR
        method: MethodDescriptor = contract.services_by_name[f"{service.capitalize()}Service"].methods_by_name[rpc]
    except (ImportError, KeyError):
        raise UnknownRpc(f"no contract has the rpc {name}") from None
    return method
