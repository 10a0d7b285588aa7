"""The text form of rules: the syntax of CEL (https://cel.dev), with functions of our own for what a customer did.

    city == "Rome" && !list("staff")
      && events("Order Completed").where(total >= 50).within(duration("30d")).count() >= 2

``parse`` and ``write`` are each other's inverse. What a text means is what the rule means that it becomes; nothing is
evaluated here.
"""

from services.common.rules.text.reading import parse
from services.common.rules.text.syntax import RuleTextInvalid
from services.common.rules.text.writing import write

__all__ = ["RuleTextInvalid", "parse", "write"]
