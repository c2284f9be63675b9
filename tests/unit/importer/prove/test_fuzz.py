"""A sample of the fuzz target of what reads a guest's console; the program in tests/fuzz runs as long as you like."""

from tests.fuzz import fuzz_console, mutate


def test_no_console_whatsoever_upsets_the_report_or_the_judge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mutate.run(fuzz_console.target, fuzz_console.seeds(), seconds=0.7) > 10
