"""A sample of the fuzz target of the appliance's readers of a guest's configuration."""

from tests.fuzz import fuzz_guestconfig, mutate


def test_a_damaged_configuration_yields_names_and_addresses_or_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mutate.run(fuzz_guestconfig.target, fuzz_guestconfig.seeds(), seconds=1) > 10
