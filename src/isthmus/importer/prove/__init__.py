"""Boot proof: the converted machine boots on a copy-on-write overlay in an isolated network, and is judged."""
