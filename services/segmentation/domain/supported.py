"""Which nodes of a rule segments evaluate; every other one is refused when it is saved, with its path."""

from collections.abc import Container

from services.common.rules import (
    Node,
    Operator,
    RuleInvalid,
    RuleUnsupported,
    ScoreCondition,
    SequenceCondition,
    StepField,
)
from services.segmentation.domain.scores import check_score

STEPS_MAX = 10
STEP_FIELD_OPERATORS = frozenset(
    {
        Operator.EQUALS,
        Operator.NOT_EQUALS,
        Operator.ANY_OF,
        Operator.NOT_ANY_OF,
        Operator.LESS_THAN,
        Operator.AT_MOST,
        Operator.GREATER_THAN,
        Operator.AT_LEAST,
    }
)


def refuse_unsupported(node: Node, scores: Container[str] = ()) -> None:
    """``RuleUnsupported``, or ``RuleInvalid`` for a score that does not exist and a step that never happens; ``scores``
    are those of clusters and lookalikes."""
    if isinstance(node.rule, ScoreCondition):
        check_score(node.path, node.rule, scores)
    if isinstance(node.rule, SequenceCondition):
        _check_sequence(node.path, node.rule)


def _check_sequence(path: str, sequence: SequenceCondition) -> None:
    if len(sequence.steps) > STEPS_MAX:
        raise RuleUnsupported(f"{path}.steps", f"segments evaluate at most {STEPS_MAX} steps")
    for number, step in enumerate(sequence.steps):
        for index, comparison in enumerate(step.where):
            place = f"{path}.steps[{number}].where[{index}]"
            referred = [value for value in comparison.values if isinstance(value, StepField)]
            if referred and comparison.operator not in STEP_FIELD_OPERATORS:
                problem = f"segments do not compare with a step's field by {comparison.operator.name}"
                raise RuleUnsupported(f"{place}.operator", problem)
            for position, value in enumerate(referred):
                if sequence.steps[value.step].negated:
                    raise RuleInvalid(f"{place}.values[{position}]", "a step that must not happen has no fields")
