# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest under pbkvm, for tests and benchmarks.

    with Guest(log_dir, accel="pbkvm,lag=1000") as vm:
        vm.boot()
        print(vm.run("cat /proc/interrupts"))
        vm.verify()

The machine is the lab's unless this host can count branches itself. The
console goes to LOG/console.log, QMP to LOG/qmp.log.
"""

import asyncio
import functools
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
sys.path.insert(0, str(TOP / "qemu" / "src" / "python"))

from qemu.qmp import (ConnectError, EventListener, QMPClient,  # noqa: E402
                      QMPError, qmp_client)

PROMPT = "pbkvm# "
PATIENCE = 120
PACE = 0.05                       # seconds between two looks
# For run(): forks, reads and page faults from then on.
LOAD = "(while :; do cat /proc/interrupts; done) > /dev/null & true"
# And for several CPUs: pipes, forks, memory that is unmapped under the other.
LOADS = (
    "ls -lR /proc/sys | md5sum & ls -lR /proc/sys | md5sum; wait",
    "for i in 1 2 3 4; do (sh -c 'kill -9 $$'; true) & done; wait",
    "dd if=/dev/urandom bs=4k count=40 2>/dev/null | gzip | md5sum")
EVENTS = ("PBKVM_PANIC", "PBKVM_DIVERGED", "PBKVM_STARTED",
          "JOB_STATUS_CHANGE")
# A guest with a TSC; what Linux finds in a lab by its i8254 is nothing:
# accesses take too long.
TSC_CPU = ["-cpu", "qemu32,+tsc"]
TSC_APPEND = "tsc_early_khz=1000000 clocksource=tsc tsc=reliable"
DEBIAN_APPEND = f"console=ttyS0 quiet oops=panic nokaslr {TSC_APPEND}"


class Failure(Exception):
    """The claim under test does not hold."""


class Refused(Failure):
    """QEMU answered COMMAND with an error, in the words SAID."""

    def __init__(self, command, said):
        super().__init__(f"{command}: {said}")
        self.said = said


@functools.cache
def check_host():
    """What pbkvm-check says of this host, and whether all serves."""
    check = BUILD / "native" / "pbkvm-check"
    if not check.exists():
        return "", False
    done = subprocess.run([str(check)], capture_output=True, text=True,
                          check=False)
    return done.stdout, done.returncode == 0


def host_can():
    """Whether this host's own KVM and PMU serve."""
    return check_host()[1]


def lab_for_tsc(plain=False):
    """Options of the lab, where this host cannot repeat a guest's TSC. Plain
    KVM's guest has one that is as fast as KVM says: who saves its machine
    asks KVM."""
    if "ok    TSC" in check_host()[0]:
        return []
    return ["--tsc-shift", "0" if plain else "6"]


def plain_pc(cpu="-tsc", model="qemu32,-apic"):
    """A machine as pbkvm makes it, for others; CPU: more of its features."""
    return ["-cpu", f"{model},{cpu}", "-machine", "pc,smm=off,vmport=off"]


def in_chaos(cpus):
    """An option for a guest whose CPUs take turns of all kinds, if it has
    several."""
    return ",chaos=on" if cpus > 1 else ""


class Console:
    """A serial line as a person sees it, through a unix socket."""

    def __init__(self, path, log):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.log = open(log, "wb")
        self.text = ""

    def expect(self, pattern, patience=PATIENCE):
        """Wait until PATTERN has come; what came up to its end."""
        until = time.monotonic() + patience
        while True:
            found = re.search(pattern, self.text)
            if found:
                before = self.text[:found.end()]
                self.text = self.text[found.end():]
                return before
            left = until - time.monotonic()
            if left <= 0:
                raise Failure(f"no {pattern!r} on the console in {patience} "
                              f"s; last: {self.text[-300:]!r}")
            self.take(left)

    def take(self, patience):
        """What comes next, or nothing within PATIENCE seconds."""
        self.sock.settimeout(patience)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            raise Failure(f"the console closed; last: {self.text[-300:]!r}")
        self.log.write(data)
        self.log.flush()
        self.text += data.decode("utf-8", "replace").replace("\r", "")

    def send(self, text):
        self.sock.sendall(text.encode())

    def close(self):
        self.sock.close()
        self.log.close()


class Qmp:
    """QEMU's own QMP client, called from ordinary code."""

    patience = PATIENCE               # seconds for an answer

    def __init__(self, path, log):
        self.loop = asyncio.new_event_loop()
        self.client = QMPClient("pbvm")
        self.events = {name: EventListener(name) for name in EVENTS}
        for listener in self.events.values():
            self.client.register_listener(listener)
        self.log = open(log, "w", encoding="utf-8")
        self.loop.run_until_complete(self.client.connect(path))

    def __call__(self, command, **arguments):
        self.log.write(f"-> {command} {arguments}\n")
        try:
            answer = self.loop.run_until_complete(asyncio.wait_for(
                self.client.execute(command, arguments or None),
                self.patience))
        except asyncio.TimeoutError:
            raise Failure(f"no answer to {command} in {self.patience} s") \
                from None
        except qmp_client.ExecuteError as error:
            self.log.write(f"<- error: {error}\n")
            raise Refused(command, str(error)) from None
        except QMPError as error:
            raise Failure(f"{command}: QEMU is gone: {error!r}") from None
        self.log.write(f"<- {answer}\n")
        self.log.flush()
        return answer

    def event(self, name):
        """Wait for the next event called NAME; its data."""
        try:
            data = self.loop.run_until_complete(asyncio.wait_for(
                self.events[name].get(), PATIENCE))
        except asyncio.TimeoutError:
            raise Failure(f"no {name} in {PATIENCE} s") from None
        self.log.write(f"<- {data}\n")
        return data["data"]

    def close(self):
        try:
            self.loop.run_until_complete(self.client.disconnect())
        except Exception:                 # QEMU may have gone first
            pass
        self.loop.close()
        self.log.close()


class Guest:
    """One QEMU with a Linux guest.

    devices: pbkvm's own serial port and timer in place of QEMU's; then
    backup_console is what the Backup prints, and only to be read.
    drivers: the initramfs that has drivers for disks and networks.
    hz: another than 100 is what guest/build --hz makes.
    cpus: for more than one there is guest/build --smp.
    debian: Debian's own amd64 kernel (guest/build-debian), 64 bits; it takes
    256 MiB.
    """

    patience = PATIENCE

    def __init__(self, log_dir, accel="pbkvm", memory=128, lab=(), extra=(),
                 append="", wrap=(), gdb=False, devices=False,
                 own_session=False, hz=100, drivers=False, debian=False,
                 cpus=1):
        self.log = pathlib.Path(log_dir)
        self.log.mkdir(parents=True, exist_ok=True)
        self.dir = tempfile.TemporaryDirectory(prefix="pbvm-")
        self.lab = list(lab)
        self.native = not self.lab and host_can()
        cmdline = (TOP / "guest" / "cmdline").read_text().strip()
        folder = BUILD / "guest"
        program, kernel = "qemu-system-i386", "bzImage"
        if debian:
            program, kernel = "qemu-system-x86_64", "vmlinuz"
            folder = BUILD / "guest-debian"
            cmdline = DEBIAN_APPEND
        if hz != 100:             # a delay's loops are counted by the tick
            folder = BUILD / f"guest-hz{hz}"
            append = f"lpj={400000000 // hz} {append}"
        self.cpus = cpus
        if cpus > 1:
            folder = folder if debian else BUILD / "guest-smp"
            extra = ["-smp", f"{cpus},sockets={cpus}", *extra]
        initramfs = "initramfs-drivers" if drivers else "initramfs"
        self.vmlinux = folder / "vmlinux"
        self.command = [
            *wrap, str(BUILD / "qemu" / program),
            "-accel", accel, "-m", str(memory), "-nic", "none",
            "-vga", "none", "-display", "none", "-no-reboot",
            "-serial", f"unix:{self.dir.name}/serial,server=on,wait=on",
            "-qmp", f"unix:{self.dir.name}/qmp,server=on,wait=off",
            "-kernel", str(folder / kernel),
            "-initrd", str(folder / f"{initramfs}.cpio.gz"),
            "-append", f"{cmdline} {append}".strip(), *extra]
        self.gdb = f"{self.dir.name}/gdb"
        if gdb:
            self.command += ["-gdb", f"unix:{self.gdb},server=on,wait=off"]
        self.devices = devices
        if devices:
            at = self.command.index("-serial")
            self.command[at:at + 2] = self._own_devices()
        self.process = self.console = self.qmp = None
        self.backup_console = None
        self.marks = 0
        # Then a terminal's Ctrl-C is not for this machine.
        self.own_session = own_session

    def _own_devices(self):
        """pb-serial and pb-timer, without QEMU's."""
        options = ["-serial", "none", "-machine", "pc,pit=off",
                   "-device", "pb-timer,id=pb-timer"]
        for name in ("serial", "backup"):
            options += ["-chardev", f"socket,id={name},path={self.dir.name}/"
                        f"{name},server=on,wait=on"]
        return options + ["-device", "pb-serial,id=pb-serial,chardev=serial,"
                          "backup-chardev=backup"]

    def __enter__(self):
        command = self.command
        if not self.native:
            command = [str(TOP / "lab" / "run"), *self.lab, "--", *command]
        self.errors = open(self.log / "qemu.log", "wb")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.errors,
            stderr=self.errors, start_new_session=self.own_session)
        try:
            self._wait_for_socket("serial")
            self.console = Console(f"{self.dir.name}/serial",
                                   self.log / "console.log")
            if self.devices:
                self._wait_for_socket("backup")
                self.backup_console = Console(f"{self.dir.name}/backup",
                                              self.log / "backup.log")
            self._wait_for_socket("qmp")
            self.qmp = Qmp(f"{self.dir.name}/qmp", self.log / "qmp.log")
        except ConnectError:
            self.__exit__()
            raise Failure("QEMU ended: " + self.said()) from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_for_socket(self, name):
        path = pathlib.Path(self.dir.name) / name
        until = time.monotonic() + PATIENCE
        while not path.exists():
            if self.process.poll() is not None:
                raise Failure("QEMU ended: " + self.said())
            if time.monotonic() > until:
                raise Failure(f"QEMU made no {name} socket")
            time.sleep(0.02)              # polls; there is no event to await

    def said(self):
        """What QEMU printed."""
        return (self.log / "qemu.log").read_text("utf-8", "replace")[-2000:]

    def _keep_history(self):
        """What a failed test leaves: the report, and the Backup as it stands
        with the history before it (history.pbkvm, docs/evidence.md)."""
        try:
            (self.log / "query-pbkvm.log").write_text(str(self.query()))
            self.qmp("pbkvm-freeze")
            self.qmp("pbkvm-save-evidence",
                     filename=str(self.log / "history.pbkvm"))
        except Exception as error:        # as much as there is
            (self.log / "no-history.log").write_text(f"{error}\n")

    def __exit__(self, kind=None, *_):
        if kind and self.qmp and self.process.poll() is None:
            self._keep_history()
        if self.process and self.process.poll() is None:
            try:
                if self.qmp:
                    self.qmp("quit")
                self.process.wait(30)
            except Exception:
                self.process.terminate()
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
        for end in (self.console, self.backup_console, self.qmp):
            if end:
                end.close()
        self.errors.close()
        self.dir.cleanup()

    def boot(self):
        """Wait for the shell's prompt; seconds since the first character."""
        start = time.monotonic()
        self.console.expect(re.escape(PROMPT))
        return time.monotonic() - start

    def run(self, command, patience=PATIENCE):
        """Type COMMAND; its output. It must succeed."""
        self.marks += 1
        self.console.send(f"{command}; echo \"=\"done-{self.marks} $?\n")
        out = self.console.expect(rf"=done-{self.marks} (\d+)\n", patience)
        status = re.search(rf"=done-{self.marks} (\d+)\n", out).group(1)
        self.console.expect(re.escape(PROMPT), patience)
        if status != "0":
            raise Failure(f"{command!r} in the guest ended with {status}: "
                          f"{out[-300:]!r}")
        return out

    def refusal(self, command, **arguments):
        """QEMU's words when it refuses COMMAND, as it must."""
        try:
            self.qmp(command, **arguments)
        except Refused as refusal:
            return refusal.said
        raise Failure(f"{command} {arguments} was not refused")

    def address(self, symbol):
        """Of a function of the guest's kernel."""
        text = self.run(f"grep ' {symbol}$' /proc/kallsyms")
        return "0x" + re.search(rf"([0-9a-f]{{16}}) [tT] {symbol}",
                                text).group(1)

    def panic_and_save(self, crash="echo c > /proc/sysrq-trigger\n"):
        """Linux panics; wait until the file of evidence= holds its past."""
        self.console.send(crash)
        self.console.expect("Kernel panic - not syncing")
        until = time.monotonic() + PATIENCE
        while "opens it" not in self.said():
            if time.monotonic() > until:
                raise Failure(f"nothing saved: {self.said()}")
            time.sleep(PACE)              # polls; there is no event to await

    def wait(self, seconds):
        """Who reads nothing from the console, stops the guest."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.console.take(left)

    def settle(self):
        """Wait until the Backup has lived through all there is now."""
        end = self.query()["events-written"]
        until = time.monotonic() + self.patience
        while self.must_run()["events-read"] < end:
            if time.monotonic() > until:
                raise Failure(f"the Backup does not reach event {end}")
            self.wait(PACE)

    def hush(self):
        """Linux tells the console nothing amid what the shell prints, not
        even of NMIs."""
        self.run("echo 0 > /proc/sys/kernel/printk")

    def exits(self):
        """{a CPU's path: how often KVM has left its guest so far}."""
        return {cpu["qom-path"]: cpu["stats"][0]["value"]
                for cpu in self.qmp("query-stats", target="vcpu", providers=[
                    {"provider": "kvm", "names": ["exits"]}])}

    def query(self):
        return self.qmp("query-pbkvm")

    def kinds(self):
        """{kind: how many events of it were recorded}."""
        return {one["kind"]: one["count"]
                for one in self.query()["events-by-kind"]}

    def verify(self):
        """Both sides are equal, or Failure; the figures."""
        try:
            result = self.qmp("pbkvm-verify")
        except Refused as refusal:
            raise Failure(f"{refusal}; {self.report()}") from None
        if not result["equal"]:
            raise Failure(f"Primary and Backup differ: {result}")
        return result

    def report(self):
        """The divergence report, if there is one."""
        info = self.query()
        return info.get("divergence", info["status"])

    def must_run(self):
        """No divergence so far."""
        info = self.query()
        if info["status"] != "running":
            raise Failure(f"the Backup is {info['status']}: "
                          f"{self.report()}")
        return info


def log_dir(name):
    return pathlib.Path(os.environ.get("PBKVM_TEST_LOG",
                                       BUILD / "test-logs" / name))


def seeded_main(test, name, parser):
    """A program of one test, which prints TAP: TEST(log_dir, args, dice), by
    PARSER's options and a --seed that is told; it returns what it did."""
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    log = log_dir(name)
    log.mkdir(parents=True, exist_ok=True)
    print(f"# seed {args.seed}\n1..1", flush=True)
    try:
        print(f"ok 1 - {test(log, args, random.Random(args.seed))}")
    except Failure as failure:
        print(f"not ok 1 - {failure}")
        return 1
    return 0


def must_not_start(machine, *words):
    """MACHINE, a Guest, ends at once, and says all of WORDS."""
    try:
        with machine:
            # Whatever it still listened to: it is about to end.
            machine.process.wait(PATIENCE)
            raise Failure(machine.said())
    except subprocess.TimeoutExpired:
        raise Failure(f"it starts; expected {words}") from None
    except Exception as refusal:          # QEMU ends, whoever notices first
        if not all(word in str(refusal) for word in words):
            raise Failure(f"expected {words}, said: {refusal}") from None


def again_if_tsc(test):
    """TEST, and again, twice at most, if the guest saw a tick of its counter
    that it should not, on a busy computer (docs/caveats.md): reported, and no
    error here."""
    def patient(log, folder):
        for left in (2, 1, 0):
            try:
                return test(log, folder)
            except Failure as failure:
                said = (log / "qemu.log").read_text("utf-8", "replace")
                if not left or "It may be the guest's TSC" not in said:
                    raise
                print(f"# once again: {failure}")
            for file in folder.iterdir():
                file.unlink()
        return None

    patient.__name__ = test.__name__
    return patient


def run_tests(tests, arguments):
    """Run TESTS in order, each with ARGUMENTS(its number), and print TAP with
    what each returned; the exit status."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            print(f"ok {number} {name}: {test(*arguments(number))}",
                  flush=True)
        except Exception as failure:      # whatever it is, the test failed
            failed += 1
            print(f"# {failure!r}\nnot ok {number} {name}", flush=True)
    return 1 if failed else 0


def main(test):
    """Run TEST(log_dir); 0, or 1 with what did not hold."""
    try:
        test(log_dir(test.__name__))
    except Failure as failure:
        print(f"failed: {failure}")
        return 1
    return 0
