"""``make run``: the platform on this machine, the sample retailer in it, and a tour; then serve until Ctrl-C."""

import sys

from deploy.local.terminal import foreground
from services.common.errors import Refusal


def main() -> int:
    """0 after Ctrl-C or with ``--once``; 1 with one sentence if something is in the way."""
    with foreground():
        try:
            # Imported here, so that Ctrl-C meanwhile, or a package that is missing, ends without a traceback.
            from deploy.local.run import run

            run(once="--once" in sys.argv[1:])
        except Refusal as refusal:
            return _refuse(refusal.message)
        except ModuleNotFoundError as error:
            return _refuse(f"the package {error.name} is missing; remove .venv, and `make run` installs everything")
        except OSError as error:
            return _refuse(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        except KeyboardInterrupt:
            return 0
    return 0


def _refuse(sentence: str) -> int:
    sys.stdout.flush()
    print(f"make run: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
