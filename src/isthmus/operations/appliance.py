"""The conversion appliance's image in a home: `python -m isthmus.operations.appliance --home D`.

Built from Debian's packages once (cached beside other homes' builds) and added to the images under the name that the
importer uses. The supervisor starts it, and again until it succeeds; an import that comes sooner waits for it as for
any image.
"""

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path

from isthmus.engine.node.image.store import ImageError, ImageStore
from isthmus.importer.appliance import build, image
from isthmus.lib import logs
from isthmus.lib.home import Home
from isthmus.lib.run import CommandError

log = logging.getLogger(__name__)


async def ensure(home: Home) -> None:
    """Add the image; nothing changes if it is there already. Raises CommandError, ImageError."""
    started = time.monotonic()
    kernel, initrd = await build.build_boot_files()
    files = {image.KERNEL_PATH: kernel, image.INITRD_PATH: initrd}
    added = await ImageStore(home.images).add(image.REFERENCE, files)
    log.info("%s is %s (%.1f s)", image.REFERENCE, added.digest, time.monotonic() - started)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="isthmus-appliance")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    logs.setup("appliance")
    try:
        asyncio.run(ensure(Home(arguments.home)))
    except (CommandError, ImageError) as error:
        log.error("%s cannot be built yet: %s", image.REFERENCE, error)
        sys.exit(1)


if __name__ == "__main__":
    main()
