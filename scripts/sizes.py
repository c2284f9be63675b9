"""Reports the sizes of modules and functions; nothing fails for size (CONTRIBUTING.md says what to aim at)."""

import ast
import statistics
from pathlib import Path

MODULE_LINES, FUNCTION_LINES = 400, 50


def main() -> None:
    """Print the medians and what is past the limits."""
    modules, functions = [], []
    for path in sorted(Path("src").rglob("*.py")):
        text = path.read_text()
        modules.append((text.count("\n"), str(path)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append((size, f"{path}:{node.lineno} {node.name}"))
    for name, found, limit in (("modules", modules, MODULE_LINES), ("functions", functions, FUNCTION_LINES)):
        sizes = sorted(size for size, _ in found)
        median, p90 = statistics.median(sizes), sizes[int(len(sizes) * 0.9)]
        print(f"        {len(sizes)} {name}: p50 {median:g}, p90 {p90}, longest {sizes[-1]} lines")
        for size, where in sorted(found, reverse=True):
            if size > limit:
                print(f"        {size:5d}  {where}")


if __name__ == "__main__":
    main()
