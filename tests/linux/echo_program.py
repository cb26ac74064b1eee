"""Runs inside containers: answers what it hears, asks others, looks up names.

serve                  answer on port 7, TCP and UDP, IPv4 and IPv6
ask HOST PORT [udp]    send a word and print the answer
ask-from IP HOST PORT  the same over TCP, from an address of our choice
reach HOST PORT        print `reached` if somebody accepts
names NAME...          print the addresses of names, or the name of an address
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable


def serve() -> None:
    """Answer for ever."""
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind(("::", 7))
    tcp = socket.create_server(("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)

    def datagrams() -> None:
        while True:
            data, peer = udp.recvfrom(512)
            udp.sendto(data, peer)

    threading.Thread(target=datagrams, daemon=True).start()
    while True:
        connection, _ = tcp.accept()
        with connection:
            connection.sendall(connection.recv(512))


def ask(host: str, port: str, *udp: str) -> None:
    """Print the answer, or nothing."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    family, _, _, _, address = socket.getaddrinfo(host, int(port), type=kind)[0]
    with socket.socket(family, kind) as sock:
        sock.settimeout(1)
        sock.connect(address)
        sock.sendall(b"fern")
        print(sock.recv(64).decode())


def ask_from(source: str, host: str, port: str) -> None:
    """Print the answer, or nothing."""
    with socket.create_connection((host, int(port)), 1, source_address=(source, 0)) as sock:
        sock.sendall(b"fern")
        print(sock.recv(64).decode())


def reach(host: str, port: str) -> None:
    """Say whether a connection can be made."""
    socket.create_connection((host, int(port)), timeout=1).close()
    print("reached")


def names(*asked: str) -> None:
    """Print what the resolver knows."""
    for name in asked:
        if name[0].isdigit():
            print(socket.gethostbyaddr(name)[0])
        else:
            print(*sorted({found[4][0] for found in socket.getaddrinfo(name, 1)}))


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "ask": ask,
    "ask-from": ask_from,
    "reach": reach,
    "names": names,
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        sys.exit(str(error))
