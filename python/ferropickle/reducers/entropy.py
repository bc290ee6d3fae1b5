"""`random.SystemRandom`, which has no state."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferropickle.reducers._forms import ReduceValue


def system_random(obj: Any, policy: Any) -> ReduceValue:
    return random.SystemRandom, ()
