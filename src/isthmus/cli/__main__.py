"""`python -m isthmus.cli`, for ssh's ProxyCommand, which must find this very installation."""

from isthmus.cli.main import main

main()
