"""What cannot be pickled fails when it is dumped, and the error says where it is."""

import sys
import threading
from dataclasses import dataclass, field

import ferropickle as fp


class Client:
    """A client with a lock, as most clients have one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()


@dataclass
class Service:
    """The lock is four levels down."""

    cfg: dict = field(default_factory=dict)


def main() -> None:
    service = Service({"port": 80, "clients": ["a", "b", "c", Client("d")]})
    message, notes = "", []
    try:
        fp.dumps(service)
    except TypeError as error:  # pickle's own type for this failure
        message, notes = str(error), getattr(error, "__notes__", [])
    print(f"TypeError: {message}")
    assert message.startswith("obj.cfg['clients'][3]._lock: ")
    assert "cannot pickle '_thread.lock' object" in message
    if sys.version_info >= (3, 11):  # exceptions carry the path as a note, too
        assert any("obj.cfg['clients'][3]._lock" in note for note in notes)

    # Follow the path, mend, try again.
    client = service.cfg["clients"][3]
    del client._lock
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
