"""The filter of system calls, run by an interpreter of its language for both kinds of processor."""

import struct
from collections.abc import Mapping

import pytest

from inference.seccomp import MACHINES, Machine, program

PROCESS_ID = 4321
KILL, ALLOW = "kill", "allow"
NAMES = {0x80000000: KILL, 0x7FFF0000: ALLOW}
NOT_PERMITTED, NOT_THERE = 1, 38

FORBIDDEN: Mapping[str, Mapping[str, int]] = {
    "x86_64": {"open": 2, "socket": 41, "connect": 42, "fork": 57, "vfork": 58, "execve": 59, "kill": 62}
    | {"ptrace": 101, "openat": 257, "ioctl": 16, "dup": 32, "io_uring_setup": 425, "process_vm_writev": 311}
    | {"bpf": 321, "mount": 165, "setns": 308, "unshare": 272, "memfd_create": 319, "x32 write": 0x40000001},
    "aarch64": {"openat": 56, "socket": 198, "connect": 203, "execve": 221, "kill": 129, "ptrace": 117}
    | {"ioctl": 29, "dup": 23, "io_uring_setup": 425, "process_vm_writev": 271, "bpf": 280, "mount": 40}
    | {"setns": 268, "unshare": 97, "memfd_create": 279},
}


def judge(machine: Machine, number: int, *arguments: int, audit_code: int | None = None) -> str | int:
    """What becomes of a call: an error's number, or the name of another verdict."""
    code = machine.audit_code if audit_code is None else audit_code
    data = struct.pack("<iIQ6Q", number, code, 0, *arguments, *[0] * (6 - len(arguments)))
    filter_ = list(struct.iter_unpack("<HBBI", program(machine, PROCESS_ID)))
    at = word = 0
    while True:
        kind, if_true, if_false, value = filter_[at]
        at += 1
        match kind:
            case 0x20:
                (word,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += if_true if word == value else if_false
            case 0x35:
                at += if_true if word >= value else if_false
            case 0x45:
                at += if_true if word & value else if_false
            case 0x06:
                return NAMES.get(value) or int(value) & 0xFFFF
            case _:
                raise AssertionError(f"no such instruction: {kind}")


@pytest.fixture(params=MACHINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(name: str) -> Machine:
    return MACHINES[name]


def test_what_arithmetic_needs_is_allowed(machine: Machine) -> None:
    assert [judge(machine, number) for number in machine.free] == [ALLOW] * len(machine.free)


def test_both_processors_have_the_same_list(machine: Machine) -> None:
    missing = 0 if machine is MACHINES["x86_64"] else 2
    assert len(set(machine.free)) == len(MACHINES["x86_64"].free) - missing


def test_files_sockets_and_processes_are_forbidden(name: str, machine: Machine) -> None:
    verdicts = {judge(machine, number) for number in FORBIDDEN[name].values()}
    assert verdicts <= {NOT_PERMITTED, NOT_THERE}


def test_a_young_call_is_not_there_so_that_libraries_use_its_elder(machine: Machine) -> None:
    clone3 = 435
    assert judge(machine, clone3) == NOT_THERE
    assert judge(machine, 423) == NOT_PERMITTED


def test_threads_may_start_but_no_process(machine: Machine) -> None:
    thread, process = 0x3D0F00, 0x1200011
    assert judge(machine, machine.clone, thread) == ALLOW
    assert judge(machine, machine.clone, process) == NOT_PERMITTED


def test_memory_is_never_executable(machine: Machine) -> None:
    for call in (machine.mmap, machine.mprotect):
        assert judge(machine, call, 0, 4096, 3) == ALLOW
        assert judge(machine, call, 0, 4096, 7) == NOT_PERMITTED
        assert judge(machine, call, 0, 4096, 4) == NOT_PERMITTED


def test_signals_reach_the_process_itself_only(machine: Machine) -> None:
    assert judge(machine, machine.tgkill, PROCESS_ID, 1, 6) == ALLOW
    assert judge(machine, machine.tgkill, 1, 1, 6) == NOT_PERMITTED


def test_threads_may_be_named_and_nothing_else_be_set(machine: Machine) -> None:
    set_name, set_dumpable = 15, 4
    assert judge(machine, machine.prctl, set_name) == ALLOW
    assert judge(machine, machine.prctl, set_dumpable) == NOT_PERMITTED


def test_calls_by_another_convention_end_the_process(machine: Machine) -> None:
    assert judge(machine, machine.free[0], audit_code=0x40000003) == KILL
