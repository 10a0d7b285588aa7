"""``python -m gateway.schema`` writes ``gateway/schema.graphql``; ``--check`` fails if what is committed is stale."""

import sys
from pathlib import Path

from gateway.schema.build import schema, sdl

COMMITTED = Path(__file__).resolve().parent.parent / "schema.graphql"


def main() -> int:
    """Exit status: 1 where ``--check`` finds another schema than the committed one."""
    fresh = sdl(schema())
    if "--check" not in sys.argv[1:]:
        COMMITTED.write_text(fresh)
        return 0
    if COMMITTED.exists() and COMMITTED.read_text() == fresh:
        return 0
    sys.stderr.write("gateway/schema.graphql is stale: run `python -m gateway.schema` and commit it\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
