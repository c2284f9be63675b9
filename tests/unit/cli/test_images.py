import asyncio

from click.testing import CliRunner

from isthmus.cli.main import isthmus
from isthmus.engine.node.image.store import ImageStore
from isthmus.lib.home import Home


def run(tmp_path, *arguments):
    return CliRunner().invoke(isthmus, ["image", *arguments, "--data-dir", str(tmp_path)])


def test_an_image_that_is_removed_frees_its_bytes_and_is_not_listed(tmp_path):
    (tmp_path / "disk").write_bytes(b"x" * 1_200_000)
    asyncio.run(ImageStore(Home(tmp_path).images).add("demo:1", {"/disk/disk": tmp_path / "disk"}))
    assert "demo:1" in run(tmp_path, "list").output
    assert run(tmp_path, "remove", "demo:1").output == "demo:1 removed, 1.2 MB freed\n"
    assert run(tmp_path, "list").output.strip() == ""


def test_an_image_that_is_not_there_cannot_be_removed(tmp_path):
    result = run(tmp_path, "remove", "demo:1")
    assert result.exit_code == 1
    assert "there is no image demo:1 here" in result.output
