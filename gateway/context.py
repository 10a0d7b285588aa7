"""What every resolver of one request shares: the caller, the services, and the loaders."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from gateway.backends import Backends
from services.common.auth import Principal
from services.common.channels import Metadata

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Context:
    """One request. ``principal`` is ``None`` only for an introspection that development allows without a token."""

    __slots__ = ("_loaders", "backends", "metadata", "principal")

    def __init__(self, backends: Backends, principal: Principal | None, metadata: Metadata) -> None:
        self.backends = backends
        self.principal = principal
        self.metadata = metadata
        """Sent with every rpc: the caller's own token, so that services decide for the caller and not for us."""
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}

    async def load(
        self, name: Hashable, key: K, fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]], batch_size_max: int
    ) -> V | None:
        """The value of ``key``; all keys that are asked for at once under one ``name`` go out in one ``fetch``."""
        loader = self._loaders.get(name)
        if loader is None:
            loader = self._loaders[name] = DataLoader(_ordered(fetch), max_batch_size=batch_size_max)
        value: V | None = await loader.load(key)
        return value

    def forget(self) -> None:
        """Drop what was loaded: a mutation may have changed it."""
        self._loaders.clear()


def _ordered(fetch: Callable[[list[K]], Awaitable[Mapping[K, V]]]) -> Callable[[list[K]], Awaitable[list[V | None]]]:
    async def load(keys: list[K]) -> list[V | None]:
        found = await fetch(keys)
        return [found.get(key) for key in keys]

    return load


Info = strawberry.Info[Context, None]
