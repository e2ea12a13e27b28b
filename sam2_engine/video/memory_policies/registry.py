"""Memory policies by name, alone and combined."""

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.memory_policies.distractors import DistractorAware
from sam2_engine.video.memory_policies.long_term import LongTerm
from sam2_engine.video.memory_policies.motion import Motion
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.wording import did_you_mean

__all__ = ["POLICIES", "check_policy", "memory_policy_of"]


class MotionLongTerm(Motion, LongTerm):
    """Choice and recent memories by motion, beside older frames on which the object looked different."""

    name = "motion+long_term"

    def __init__(self) -> None:
        Motion.__init__(self)
        LongTerm.__init__(self)


class MotionDistractorAware(Motion, DistractorAware):
    """Choice and recent memories by motion, beside anchors where the candidates disagreed."""

    name = "motion+distractor_aware"


POLICIES: dict[str, type[MemoryPolicy]] = {
    one.name: one
    for one in (MemoryPolicy, Motion, DistractorAware, LongTerm, MotionLongTerm, MotionDistractorAware)
}
"""What can be chosen by name."""


def memory_policy_of(policy: str | MemoryPolicy) -> MemoryPolicy:
    """Return a policy from its name, or the given one.

    Parameters
    ----------
    policy
        One of ``POLICIES``, or an object of a subclass of ``MemoryPolicy``.

    Raises
    ------
    InputError
        If there is no such policy.

    Examples
    --------
    >>> memory_policy_of("motion")
    <Motion motion>
    """
    if isinstance(policy, MemoryPolicy):
        return policy
    if policy not in POLICIES:
        guess = did_you_mean(str(policy), POLICIES)
        raise InputError(f"There is no memory policy {policy!r}{guess}: choose one of {', '.join(POLICIES)}.")
    return POLICIES[policy]()


def check_policy(policy: MemoryPolicy, model: Sam2) -> None:
    """Refuse a policy that does not work with a model.

    Raises
    ------
    InputError
        If the model tracks roughly, or pools its memories.
    """
    if not policy.takes_notes:
        return
    if model.approximations:
        raise InputError(
            f"The memory policy {policy.name!r} does not work with approximations: load the model without "
            'them, or track with memory_policy="recent".'
        )
    if model.config.memory_latents:
        raise InputError(
            f"The memory policy {policy.name!r} does not work with {model.config.name}, whose memories are "
            'pooled: track with memory_policy="recent", or take another model.'
        )
