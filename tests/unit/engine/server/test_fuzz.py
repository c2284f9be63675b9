"""A short run of the fuzz target of the HTTP protocol."""

from tests.fuzz import fuzz_protocol


async def test_no_bytes_make_the_protocol_fail_hang_or_hoard() -> None:
    count, found = await fuzz_protocol.run(2.0, seed=7)
    assert not found and count > 100
