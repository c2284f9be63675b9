"""The DHCP servers of a node: one for each link whose lease is ours. Called by `network`; `dhcpserver` is one."""

from isthmus.engine.node.net.dhcpserver import DhcpServer
from isthmus.engine.node.net.link import Link
from isthmus.engine.node.net.model import NetworkError
from isthmus.engine.node.net.record import Record


class DhcpServers:
    """By the machine's uid and the interface's name."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], DhcpServer] = {}

    async def serve(self, record: Record) -> None:
        """Have a server with the right lease for each of a machine's links. Raises NetworkError."""
        for link in record.links:
            running = self._running.get((record.uid, link.request.name))
            if running is not None and running.lease == link.lease:
                continue
            self.close_link(record.uid, link)
            if link.lease is None:
                continue
            server = DhcpServer(record.netns, link.names.bridge, link.lease)
            try:
                await server.start()
            except OSError as error:
                raise NetworkError("NetworkFailed", f"DHCP for {link.request.name}: {error}") from error
            self._running[record.uid, link.request.name] = server

    def close_link(self, uid: str, link: Link) -> None:
        """End the server of one link, if it has one."""
        if server := self._running.pop((uid, link.request.name), None):
            server.close()

    def close(self, uid: str) -> None:
        """End all servers of a machine: its namespace can be torn down only then."""
        for key in [key for key in self._running if key[0] == uid]:
            self._running.pop(key).close()

    def close_all(self) -> None:
        """End every server."""
        for server in self._running.values():
            server.close()
        self._running.clear()
