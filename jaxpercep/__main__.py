"""`python -m jaxpercep` is `jaxpercep`."""

import sys

from jaxpercep._extras import MissingExtraError, needed_by


def main() -> int:
    """Runs the command line and returns its exit code: see `jaxpercep.cli`."""
    try:
        with needed_by("the command line"):
            from jaxpercep import cli

            return cli.main()
    except MissingExtraError as error:
        print(f"jaxpercep: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
