# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots of a machine under plain KVM, for pbkvm to go on from (-loadvm)."""

from pbvm import Failure

MIB = 1 << 20


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
