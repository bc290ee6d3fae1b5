"""All of pickle's hooks, where pickle has them and in pickle's order."""

import copyreg
import io
import threading

import ferropickle as fp


class Connection:
    """Something that lives outside of the data: only its key is to be pickled."""

    def __init__(self, key: str) -> None:
        self.key = key


CONNECTIONS = {"main": Connection("main")}


class Point:
    """Pickled by three different hooks below."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y


class Moved(Point):
    """What `find_class` puts in the place of `Point`."""


# persistent_id and persistent_load: objects that stay where they are.
class OutwardPickler(fp.Pickler):
    def persistent_id(self, obj):
        return obj.key if isinstance(obj, Connection) else None


class InwardUnpickler(fp.Unpickler):
    def persistent_load(self, pid):
        return CONNECTIONS[pid]


# reducer_override: asked first, for every object that is not of a built-in type.
class PolarPickler(fp.Pickler):
    def reducer_override(self, obj):
        if isinstance(obj, Point):
            return Point, (obj.x * 10, obj.y * 10)
        return NotImplemented  # go on as usual


# find_class: who may be loaded, and from where.
class CarefulUnpickler(fp.Unpickler):
    def find_class(self, module, name):
        if name == "Point":
            return Moved
        raise fp.UnpicklingError(f"{module}.{name} may not be loaded")


def main() -> None:
    shared = CONNECTIONS["main"]
    file = io.BytesIO()
    OutwardPickler(file).dump({"db": shared, "rows": [1, 2]})
    file.seek(0)
    copy = InwardUnpickler(file).load()
    assert copy["db"] is shared
    assert copy["rows"] == [1, 2]

    file = io.BytesIO()
    PolarPickler(file).dump([Point(1, 2), "text"])
    point, text = fp.loads(file.getvalue())
    assert (point.x, point.y, text) == (10, 20, "text")

    # dispatch_table: a reducer for a type, for one pickler alone.
    file = io.BytesIO()
    pickler = fp.Pickler(file)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dispatch_table[type(threading.Lock())] = lambda lock: (threading.Lock, ())
    pickler.dump({"lock": threading.Lock()})
    assert not fp.loads(file.getvalue())["lock"].locked()

    # Classes of `__main__` by name, or `find_class` would be asked for what makes them.
    by_name = fp.Policy(main="ref")
    data = fp.dumps(Point(3, 4), policy=by_name)
    moved = CarefulUnpickler(io.BytesIO(data)).load()
    assert type(moved) is Moved
    assert (moved.x, moved.y) == (3, 4)
    try:
        message = CarefulUnpickler(io.BytesIO(fp.dumps(shared, policy=by_name))).load()
    except fp.UnpicklingError as error:
        message = str(error)
    assert "Connection may not be loaded" in message

    print("persistent_id, reducer_override, dispatch_table and find_class: all asked")


if __name__ == "__main__":
    main()
