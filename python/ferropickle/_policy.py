"""The policy of a block: `with ferropickle.policy(gc="keep"): ...`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ferropickle._native import Policy, current_policy

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def policy(chosen: Policy | None = None, **choices: Any) -> Iterator[Policy]:
    """Put a policy in effect for a block, in this thread or task alone.

    Give a `Policy`, or the choices that differ from those in effect, by the
    names of `Policy`'s arguments. A policy given to a call or a pickler goes
    before it.

    Raises TypeError for a `chosen` that is no Policy or an unknown name, and
    ValueError for an unknown choice.
    """
    if chosen is not None and not isinstance(chosen, Policy):
        raise TypeError(f"policy must be a Policy or None, not {type(chosen).__name__}")
    base = chosen or current_policy.get(None) or Policy()
    in_effect = _policy_from({**base._choices(), **choices}) if choices else base
    token = current_policy.set(in_effect)
    try:
        yield in_effect
    finally:
        current_policy.reset(token)


def _policy_from(choices: dict[str, Any]) -> Policy:
    """Rebuild a pickled policy."""
    return Policy(**choices)
