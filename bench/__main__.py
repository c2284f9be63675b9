"""`python -m bench NAME ARGUMENTS`: one benchmark; without a name, all of them with their defaults."""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    known = sorted(p.parent.name for p in HERE.glob("*/bench.py"))
    if len(sys.argv) > 1 and sys.argv[1] not in known:
        sys.exit(f"there is no benchmark {sys.argv[1]!r}: choose one of {', '.join(known)}")
    chosen, arguments = (sys.argv[1:2], sys.argv[2:]) if len(sys.argv) > 1 else (known, [])
    for name in chosen:
        print(f"== {name}")
        sys.argv = [f"bench {name}", *arguments]
        runpy.run_path(str(HERE / name / "bench.py"), run_name="__main__")


if __name__ == "__main__":
    main()
