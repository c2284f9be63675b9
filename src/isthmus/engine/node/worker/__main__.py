"""The process of a worker pod: runs the worker's program and leaves its exit code on disk for whoever asks later.

    python -m isthmus.engine.node.worker EXIT_FILE ARGUMENTS...

The agent may be away when the worker ends, and an exit status can be waited for by a parent only. A process that is
gone without a file was killed.
"""

import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "isthmus.importer.worker"
DATA_VOLUME_PROGRAM = "isthmus.engine.node.datavolume"
DATA_VOLUME_VERBS = frozenset({"import-http", "import-registry", "clone"})


def find_program(arguments: Sequence[str]) -> str:
    """The importer's worker; what fills DataVolumes is ours, for on a cluster it is CDI's."""
    return DATA_VOLUME_PROGRAM if DATA_VOLUME_VERBS & set(arguments[:1]) else PROGRAM


def write_exit(path: Path, code: int) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_text(str(code))
    temporary.replace(path)


def exit_code(error: SystemExit) -> int:
    """As the interpreter reckons it: None is 0, a number is itself, a text is printed and 1."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write(f"{error.code}\n")
    return 1


def main() -> None:
    """Run the program in this process."""
    record, arguments = Path(sys.argv[1]), sys.argv[2:]
    program = find_program(arguments)
    sys.argv = [program, *arguments]
    code = 0
    try:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = exit_code(error)
    except BaseException:  # noqa: BLE001 (the traceback is the pod's log, the code its end)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    write_exit(record, code)
    os._exit(code)  # threads of the worker must not keep a pod that has ended


if __name__ == "__main__":
    main()
