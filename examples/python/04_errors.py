"""What cannot be pickled fails when it is dumped, and the error says where it is."""

import socket
import sys
from dataclasses import dataclass, field

import ferropickle as fp


class Client:
    """A client with a connection, as most clients have one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket()


@dataclass
class Service:
    """The connection is four levels down."""

    cfg: dict = field(default_factory=dict)


def main() -> None:
    service = Service({"port": 80, "clients": ["a", "b", "c", Client("d")]})
    message, notes = "", []
    try:
        fp.dumps(service)
    except fp.PicklingError as error:  # a TypeError too, as pickle's own is
        message, notes = str(error), getattr(error, "__notes__", [])
    print(f"PicklingError: {message}")
    assert message.startswith("obj.cfg['clients'][3]._socket: ")
    assert "cannot pickle 'socket' object" in message
    if sys.version_info >= (3, 11):  # exceptions carry the path as a note, too
        assert any("obj.cfg['clients'][3]._socket" in note for note in notes)

    # Follow the path, mend, try again.
    client = service.cfg["clients"][3]
    client._socket.close()
    del client._socket
    assert fp.loads(fp.dumps(service)).cfg["clients"][3].name == "d"

    # A stream that is cut short or changed never crashes: it raises.
    data = fp.dumps(list(range(1000)))
    for bad in (data[: len(data) // 2], data[:-1], b"", b"\x80\x05not a pickle"):
        try:
            fp.loads(bad)
        except (fp.UnpicklingError, EOFError) as error:
            print(f"{type(error).__name__}: {error}")
        else:
            raise AssertionError("a broken stream was loaded")


if __name__ == "__main__":
    main()
