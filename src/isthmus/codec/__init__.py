"""Sans-IO formats and protocols: bytes in, events out. No sockets, no files, no asyncio.

Every parser here takes its size limits as arguments and names the only exceptions that it may raise.
"""
