"""RE2 patterns, judged by the embedded engine, whose regular expressions they are."""

import duckdb


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with ``pattern``, or ``None``. Spark accepts what RE2 accepts, and more."""
    with duckdb.connect() as connection:
        try:
            connection.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
        except duckdb.Error as error:
            return str(error).splitlines()[0]
    return None
