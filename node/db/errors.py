"""Why a database cannot be used; the message is one line that names the cause and what to do."""


class DatabaseError(Exception):
    """Base of what goes wrong with a database outside our control."""


class DatabaseLocked(DatabaseError):
    """Another process has the directory open."""


class DatabaseUnwritable(DatabaseError):
    """The directory cannot be made or written."""


class DatabaseFull(DatabaseError):
    """The disk, or what this user may use of it, is full or fails; nothing that was committed is lost."""


class DatabaseCorrupt(DatabaseError):
    """What is on the disk contradicts itself."""


class OtherChain(DatabaseError):
    """The directory belongs to a chain with another genesis block."""


class OtherSchema(DatabaseError):
    """The directory was written by a release that lays tables out differently."""


class UnknownState(DatabaseError):
    """Neither a committed state that is still kept, nor a remembered block; a request for it is refused."""
