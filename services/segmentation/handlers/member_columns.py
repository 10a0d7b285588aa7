"""Add what customers' traits are to the rows of a file."""

from collections.abc import Sequence

from services.segmentation.domain.member_column import MemberColumn
from services.segmentation.ports.trait_values import TraitValues

Row = tuple[str | int | None, ...]


async def with_columns(
    values: TraitValues, tenant: str, rows: Sequence[Row], columns: Sequence[MemberColumn]
) -> Sequence[Row]:
    """``rows``, which begin with a customer's id, each with its cells of ``columns`` at the end."""
    if not columns or not rows:
        return rows
    found = await values.of(tenant, [str(row[0]) for row in rows], [column.trait for column in columns])
    added = list(zip(columns, found, strict=True))
    return [(*row, *(column.cell(told.get(str(row[0]))) for column, told in added)) for row in rows]
