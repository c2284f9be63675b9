"""A sample of every fuzz target of the importer's formats; the programs in tests/fuzz run as long as you like."""

import pytest
from tests.fuzz import fuzz_ova, fuzz_ovf, fuzz_vmdk, mutate


@pytest.mark.parametrize(
    ("target", "seeds"),
    [(fuzz_vmdk.target, fuzz_vmdk.seeds), (fuzz_ova.both, fuzz_ova.seeds), (fuzz_ovf.target, fuzz_ovf.seeds)],
    ids=["vmdk", "ova", "ovf"],
)
def test_random_damage_never_ends_in_anything_but_a_clear_error(target, seeds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mutate.run(target, seeds(), seconds=0.7) > 10
