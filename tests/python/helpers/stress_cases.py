"""Objects, how threads change them while others dump them, and what is true of them at each moment.

`stress_child` runs them. Its classes are here because that module is `__main__`.
"""

import contextlib
import time
from abc import ABC, abstractmethod

from helpers.shapes import Plain, Slotted

GROUP = 8  # items that come and go together
LARGE = 3_000  # groups of a graph that several threads encode


class Other(Plain):
    """What an instance of Plain may become, and back."""


class SlottedToo:
    __slots__ = ("left", "right")


class Yielding:
    """Lets other threads run in the middle of a dump, and of a load."""

    def __reduce__(self):
        time.sleep(0)
        return _yielded, ()


def _yielded():
    time.sleep(0)
    return "yielded"


def make_item(n):
    return [n, (n, str(n)), {"n": n, "text": f"text {n} " * 12}, Plain(n=n, again=[n])]


def is_item(item):
    number, pair, mapping, plain = item
    return (
        pair == (number, str(number))
        and mapping == {"n": number, "text": f"text {number} " * 12}
        and vars(plain) == {"n": number, "again": [number]}
    )


class Case(ABC):
    """An object, the ways in which it changes, and what is true of it at each moment."""

    foreign = False  # the dump runs Python code, so it sees the object at several moments
    large = False

    def __init__(self, seed):
        self.seed = seed
        self.obj = self.make()

    @abstractmethod
    def make(self):
        """Give a new object."""

    @abstractmethod
    def change(self, dice, n):
        """One step, whole at each moment: one call that runs no Python code."""

    @abstractmethod
    def is_whole(self, back):
        """Say whether a copy is of one moment, or of such parts."""


class Lists(Case):
    def make(self):
        return [item for n in range(40) for item in self.group(n)]

    def group(self, n):
        return [make_item(n)] * GROUP if n % 2 else [make_item(n) for _ in range(GROUP)]

    def change(self, dice, n):
        values, group = self.obj, self.group(n)
        at = GROUP * dice.randrange(len(values) // GROUP + 1)
        step = dice.randrange(8)
        if len(values) > 100 * GROUP or step == 0:
            del values[at:]
        elif step == 1:
            values.clear()
        elif step == 2:
            values[at : at + GROUP] = group
        elif step == 3:
            del values[at : at + GROUP]
        elif step == 4:
            values.reverse()
        elif step == 5:
            values *= 2
        else:
            values.extend(group * dice.randrange(1, 12))

    def is_whole(self, back):
        firsts = [item[0] for item in back]
        groups = [firsts[at : at + GROUP] for at in range(0, len(firsts), GROUP)]
        return all(map(is_item, back)) and all(
            len(group) == GROUP and len(set(group)) == 1 for group in groups
        )


class Dicts(Case):
    def make(self):
        return {f"own {n}": make_item(n) for n in range(20)}

    def change(self, dice, n):
        mapping, step, item = self.obj, dice.randrange(7), make_item(n)
        if len(mapping) > 600 or step == 0:
            mapping.clear()
        elif step == 1:
            mapping.update({f"a{n}": item, f"b{n}": item})
        elif step == 2:
            mapping.update({f"{side}{k}": item for k in range(n, n + 40) for side in "ab"})
        elif step == 3:
            mapping.pop(f"own {dice.randrange(40)}", None)
        elif step == 4:
            mapping[f"own {dice.randrange(40)}"] = item
        elif step == 5:
            mapping |= {(n, "a"): item, (n, "b"): item}
        else:
            mapping[n % 20] = item

    def is_whole(self, back):
        for key, item in back.items():
            if not is_item(item):
                return False
            twin = ("b" + key[1:]) if isinstance(key, str) and key[0] == "a" else None
            if isinstance(key, tuple):
                twin = (key[0], "b" if key[1] == "a" else "a")
            if twin is not None and twin not in back:
                return False
        return True


class Sets(Case):
    def make(self):
        return [set(), {"frozen": frozenset([1, -1])}]

    def change(self, dice, n):
        elements, step = self.obj[0], dice.randrange(6)
        if len(elements) > 2_000 or step == 0:
            elements.clear()
        elif step == 1:
            elements -= {sign * k for k in range(1, 1 + n % 200) for sign in (1, -1)}
        elif step == 2:
            elements ^= {n + 1, -n - 1}
        elif step == 3:
            elements |= {(n + 1,), (-n - 1,)}
        else:
            elements.update({sign * (n + k) for k in range(1, 60) for sign in (1, -1)})
        self.obj[1]["frozen"] = frozenset([n, -n])

    def is_whole(self, back):
        def opposite(item):
            return (-item[0],) if isinstance(item, tuple) else -item

        elements, rest = back
        return all(opposite(item) in elements for item in elements) and sum(rest["frozen"]) == 0


class Instances(Case):
    def make(self):
        plains = [Plain(first=n, second=[n]) for n in range(30)]
        return [plains, [Slotted(n, [n]) for n in range(30)], plains[::2]]

    def change(self, dice, n):
        plain, slotted = dice.choice(self.obj[0]), dice.choice(self.obj[1])
        step = dice.randrange(8)
        if step == 0:
            plain.__dict__ = {"first": n, "second": [n]}
        elif step == 1:
            plain.__class__ = Other if type(plain) is Plain else Plain
        elif step == 2:
            vars(plain).update(first=n, second=[n], third=(n,))
        elif step == 3:
            setattr(plain, f"more {n % 40}", n)
        elif step == 4:
            vars(plain).pop(f"more {n % 40}", None)
        elif step == 5:
            slotted.left = [n]
        elif step == 6:
            vars(plain).clear()
        else:
            slotted.__class__ = SlottedToo if type(slotted) is Slotted else Slotted
            slotted.right = n
            if dice.randrange(2):
                with contextlib.suppress(AttributeError):  # another thread was quicker
                    del slotted.right

    def is_whole(self, back):
        plains, slotted, again = back
        for plain in plains:
            state = vars(plain)
            if type(plain) not in (Plain, Other) or ("first" in state) != ("second" in state):
                return False
            if "first" in state and state["second"] != [state["first"]]:
                return False
        types = {type(each) for each in slotted}
        return types <= {Slotted, SlottedToo} and all(
            a is b for a, b in zip(plains[::2], again, strict=True)
        )


class Classes(Instances):
    """Instances, and their classes besides: what is known of a class is true only for a time."""

    foreign = True

    def change(self, dice, n):
        step = dice.randrange(8)
        if step == 0:
            Plain.__getstate__ = lambda self: dict(vars(self))
        elif step == 1:
            Plain.__reduce__ = lambda self: (Plain, (), dict(vars(self)))
        elif step == 2:
            Plain.__setstate__ = lambda self, state: vars(self).update(state)
        elif step == 3:
            Plain.first = property(lambda self: None, lambda self, value: None)
        elif step in (4, 5):
            for name in ("__getstate__", "__reduce__", "__setstate__", "first"):
                with contextlib.suppress(AttributeError):  # not there
                    delattr(Plain, name)
        else:
            super().change(dice, n)

    def is_whole(self, back):
        return len(back) == 3 and len(back[0]) == len(back[1]) == 30


class Foreign(Case):
    """All of it, with reducers in the middle that let the other threads in."""

    foreign = True

    def make(self):
        self.parts = [kind(self.seed) for kind in (Lists, Dicts, Sets, Instances)]
        return [[part.obj, Yielding()] for part in self.parts]

    def change(self, dice, n):
        part = dice.choice(self.parts)
        part.change(dice, n)
        step = dice.randrange(12)
        if step == 0:
            self.parts[0].obj.insert(dice.randrange(4), Yielding())
        elif step == 1:
            self.parts[1].obj[f"yields {n % 20}"] = [Yielding(), n]
        elif step == 2:
            dice.choice(self.parts[3].obj[0]).yields = Yielding()
        elif step == 3:
            dice.choice(self.parts[3].obj[1]).left = Yielding()
        elif step == 4:
            self.parts[0].obj[:4] = [Yielding(), *[[[n]] for _ in range(3)]]

    def is_whole(self, back):
        return [len(part) for part in back] == [2] * 4 and {each[1] for each in back} == {"yielded"}


class Large(Lists):
    """Encoded by several threads where the policy lets them."""

    large = True

    def make(self):
        return [item for n in range(LARGE) for item in self.group(2 * n)]

    def change(self, dice, n):
        values = self.obj
        at = GROUP * dice.randrange(len(values) // GROUP)
        step = dice.randrange(5)
        if step == 0 and len(values) > LARGE * GROUP - 2_000:
            del values[at : at + GROUP * dice.randrange(1, 40)]
        elif step == 1 and len(values) < LARGE * GROUP + 2_000:
            values[at:at] = self.group(n) * dice.randrange(1, 20)
        elif step == 2:
            values[at : at + 2 * GROUP] = self.group(n) * 2
        else:
            values[at : at + GROUP] = self.group(n)


class LargeDicts(Dicts):
    large = True

    def make(self):
        items = [make_item(n) for n in range(16_000)]
        whole = {f"{side}{n}": item for n, item in enumerate(items) for side in "ab"}
        return whole | {f"own {n}": make_item(n) for n in range(40)}

    def change(self, dice, n):
        mapping, step, item = self.obj, dice.randrange(4), make_item(n)
        at = dice.randrange(16_000)
        if step == 0:
            mapping.update({f"a{at}": item, f"b{at}": item})
        elif step == 1:
            item = mapping[f"a{at}"]
            vars(item[3]).update(n=item[0], again=[item[0]])
        elif step == 2:
            mapping.pop(f"own {n % 40}", None)
        else:
            mapping[f"own {n % 40}"] = item


class LargeForeign(Large):
    """Where several threads encode until a reducer lets the others in."""

    foreign = True

    def change(self, dice, n):
        super().change(dice, n)
        if n % 50 == 0:
            self.obj.insert(dice.randrange(len(self.obj)), Yielding())

    def is_whole(self, back):
        return all(item == "yielded" or is_item(item) for item in back)


CASES = {
    "lists": Lists,
    "dicts": Dicts,
    "sets": Sets,
    "instances": Instances,
    "classes": Classes,
    "foreign": Foreign,
    "large": Large,
    "large dicts": LargeDicts,
    "large foreign": LargeForeign,
}
