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
    comparing = words[:1] == ["compare"]
    program, failed = (f"{PROGRAM} compare", 2) if comparing else (PROGRAM, 1)
    command: Run | Compare
    if comparing:
        command = tyro.cli(Compare, prog=program, args=words[1:])
    else:
        command = tyro.cli(Run, prog=program, args=words)
    try:
        command.check()
        return _execute(command)
    except KeyboardInterrupt:
        return _fail(f"{program}: interrupted", 130)
    except UsageError as error:
        return _fail(f"{program}: error: {error}", 2)
    except (OSError, ValueError) as error:
        return _fail(f"{program}: error: {error}", failed)


def _execute(command: Run | Compare) -> int:
    """Runs the command, with the imports that it needs."""
    match command:
        case Compare(against=None):
            from benchmarks import runs

            return runs.main(*command.files(), command.threshold)
        case Compare():
            from benchmarks import against

            return against.main(command)
        case Run():
            from benchmarks import run

            return run.main(command)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
