# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of a machine under plain KVM, for pbkvm to go on from (-loadvm)."""

import re
import time

from pbvm import Failure

MIB = 1 << 20
OLD = 8             # seconds a guest has lived when its clock is looked at, and
PATIENCE = 2        # what it may lose of them between two looks


def finish(vm, job):
    """Wait for QMP's JOB."""
    while vm.qmp.event("JOB_STATUS_CHANGE") != {"id": job,
                                                "status": "concluded"}:
        pass
    for ended in vm.qmp("query-jobs"):
        if "error" in ended:
            raise Failure(f"{job}: {ended['error']}")
    vm.qmp("job-dismiss", id=job)


def save(vm, file):
    """Of a machine that runs; FILE is made. Options that go on from it."""
    file.unlink(missing_ok=True)
    file.touch()
    vm.qmp("blockdev-add", **{"driver": "file", "filename": str(file),
                              "node-name": "file"})
    vm.qmp("blockdev-create", **{"job-id": "make", "options": {
        "driver": "qcow2", "file": "file", "size": MIB}})
    finish(vm, "make")
    vm.qmp("blockdev-add", **{"driver": "qcow2", "file": "file",
                              "node-name": "disk"})
    vm.qmp("snapshot-save", **{"job-id": "save", "tag": "booted",
                               "vmstate": "disk", "devices": ["disk"]})
    finish(vm, "save")
    return ["-blockdev", f"driver=qcow2,node-name=disk,file.driver=file,"
            f"file.filename={file}", "-loadvm", "booted"]


def uptime(vm):
    """What the guest's Linux thinks that has passed since its start."""
    return float(re.search(r"^(\d+\.\d+) ", vm.run("cat /proc/uptime"),
                           re.MULTILINE).group(1))


class Clock:
    """Of a guest that has a time stamp counter: it must not jump, as if the
    time it lived before the snapshot passed again."""

    def __init__(self, vm):
        """Before it is saved."""
        while (was := uptime(vm)) < OLD:
            vm.run(f"sleep {OLD - int(was)}")
        self.was = was

    def loaded(self):
        self.since = time.monotonic()

    def check(self, vm):
        passed = uptime(vm) - self.was
        most = time.monotonic() - self.since + PATIENCE
        if not 0 <= passed <= most:
            raise Failure(f"{passed} s have passed in the guest since it was "
                          f"saved: expected 0 to {most}")
