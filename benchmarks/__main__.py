"""`python -m benchmarks`: exit codes and error messages.

Exit codes: 0, done; 1, the run failed; 2, the arguments cannot work; 130, Ctrl-C. Those of
`compare`: 0, nothing has become slower; 1, something has; 2, anything else; 130, Ctrl-C.
"""

import sys
from collections.abc import Sequence

import tyro

from benchmarks.arguments import PROGRAM, Compare, Run, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the suite, or compares two sides, and returns the exit code.

    Args:
        arguments: the words after the program's name; None takes them from `sys.argv`.

    Raises:
        SystemExit: The arguments cannot be parsed (code 2), or are `--help` (code 0).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    kind, program, failed = Run, PROGRAM, 1
    if words[:1] == ["compare"]:
        kind, program, failed, words = Compare, f"{PROGRAM} compare", 2, words[1:]
    command: Run | Compare = tyro.cli(kind, prog=program, args=words)
    try:
        command.check()
        return _execute(command)
    except KeyboardInterrupt:
        said, code = "interrupted", 130
    except (OSError, ValueError) as error:
        said, code = f"error: {error}", 2 if isinstance(error, UsageError) else failed
    print(f"{program}: {said}", file=sys.stderr)
    return code


def _execute(command: Run | Compare) -> int:
    """Runs the command, with the imports that it needs."""
    if isinstance(command, Run):
        from benchmarks import run

        return run.main(command)
    if command.against is None:
        from benchmarks.comparison import main as compare
    else:
        from benchmarks.against import main as compare
    return compare(command)


if __name__ == "__main__":
    sys.exit(main())
