"""Which of its rights a worker gave up, so that an operator knows what stands between a hostile model and the
machine.
"""

from primitives.codec import Record


class Protections(Record, frozen=True):
    """True where the protection is in force for every thread of the worker."""

    memory: bool
    """Its address space is limited."""
    network: bool
    """It is alone in a network namespace of its own."""
    privileges: bool
    """It has no capability, and can gain none."""
    files: bool
    """Landlock forbids it every file that it has not open."""
    calls: bool
    """A filter leaves it the system calls that arithmetic needs: none opens a file or a socket, makes a
    process, or touches another one."""

    def missing(self) -> tuple[str, ...]:
        """The names of those not in force."""
        return tuple(name for name in self.__struct_fields__ if not getattr(self, name))
