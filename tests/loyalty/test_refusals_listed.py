"""Every refusal that loyalty has is in its contracts, and what an rpc lists is in the order of precedence."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import services.loyalty
from services.common.errors import Refusal
from services.loyalty.adapters.ledger import OrdersApplied

CONTRACTS = Path(__file__).parents[2] / "protos/tessera/loyalty/v1"
SERVICE = (CONTRACTS / "loyalty_service.proto").read_text()
REASON = re.compile(r"\b[A-Z][A-Z]+(?:_[A-Z]+)+\b")
RPCS = re.findall(r"((?:^  //.*\n)+)  rpc (\w+)\(", SERVICE, re.MULTILINE)
PRECEDENCE = [
    reason
    for line in re.findall(r"^// +\d+\. [A-Z_]+ +(.+)$", SERVICE, re.MULTILINE)
    for reason in REASON.findall(line)
]


def _refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield each
        yield from _refusals(each)


def _listed(comment: str) -> list[str]:
    """The reasons of an rpc's comment after the word "Refusals", without what is said of them in brackets."""
    text = " ".join(line.strip("/ ") for line in comment.splitlines())
    _, _, listed = text.partition("Refusals: ")
    return REASON.findall(re.sub(r"\([^)]*\)", "", listed))


def test_no_refusal_is_left_out_of_the_contracts() -> None:
    for module in pkgutil.walk_packages(services.loyalty.__path__, "services.loyalty."):
        importlib.import_module(module.name)
    own = {each("").reason for each in _refusals() if each.__module__.startswith("services.loyalty")}
    told = set(REASON.findall(" ".join(path.read_text() for path in CONTRACTS.glob("*.proto"))))
    assert own - told == {OrdersApplied("").reason}  # which no caller ever sees


@pytest.mark.parametrize(("comment", "name"), RPCS, ids=[name for _, name in RPCS])
def test_an_rpc_lists_its_refusals_in_the_order_of_precedence(comment: str, name: str) -> None:
    ranked = [PRECEDENCE.index(reason) for reason in _listed(comment) if reason in PRECEDENCE]
    assert ranked == sorted(ranked), [PRECEDENCE[rank] for rank in ranked]


def test_all_rpcs_are_looked_at() -> None:
    assert len(RPCS) == len(re.findall(r"^  rpc ", SERVICE, re.MULTILINE)) > 70
