# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's virtual machine: QEMU's command line and its process."""

import ctypes
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "lab"

# Kernel parameters: what only costs time in an emulated machine is off.
APPEND = ("console=ttyS0 panic=-1 nmi_watchdog=0 nowatchdog mitigations=off "
          "tsc=reliable no_timer_check lpj=9200000 random.trust_cpu=on "
          "cryptomgr.notests lsm= selinux=0 apparmor=0 audit=0 rodata=off "
          "init_on_alloc=0 8250.nr_uarts=1 initcall_blacklist="
          "jent_mod_init,load_system_certificate_list,init_encrypted,"
          "init_ima,init_evm,digsig_init")

SHARED = "security_model=none,multidevs=remap"


class LabError(Exception):
    """A message for the user; the lab cannot (go on to) run."""


def qemu_path():
    given = os.environ.get("PBKVM_LAB_QEMU")
    path = pathlib.Path(given or TOP / "build/qemu/qemu-system-x86_64")
    if not os.access(path, os.X_OK):
        raise LabError(f"no lab machine: expected the program {path}; "
                       + ("check PBKVM_LAB_QEMU" if given else "run: make"))
    return path


def check_built():
    for name in ("kernel", "initramfs", "firmware"):
        if not (BUILD / name).exists():
            raise LabError(f"the lab is not built: no {BUILD / name}; "
                           f"run: {TOP / 'lab/build'}")


def _pmu_device(options):
    device = "pbkvm-lab-pmu"
    for knob in ("skid", "miscount", "spurious", "lose", "seed", "tsc_shift"):
        value = getattr(options, knob)
        if value is not None:
            device += f",{knob.replace('_', '-')}={value}"
    for switch in ("rf", "mov_ss", "count_vmrun"):
        if getattr(options, switch):
            device += f",{switch.replace('_', '-')}=on"
    return device


def _memory(options, ram):
    """@ram: None, or (file, "on" if what is written shall stay there)."""
    if ram is None:
        return f"memory-backend-ram,id=ram,size={options.mem}M"
    path, share = ram
    text = f"memory-backend-file,id=ram,size={options.mem}M,mem-path={path}"
    return text + (",share=on" if share == "on"
                   else ",share=off,readonly=on,rom=off")


def _command_line(options, link_fd, monitor_fd, ram, more):
    return [
        str(qemu_path()), "-L", str(BUILD / "firmware"),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-name", "pbkvm-lab,process=pbkvm-lab",
        "-object", _memory(options, ram),
        "-machine", "pc,usb=off,vmport=off,smbus=off,memory-backend=ram",
        "-accel", "tcg,thread=multi,tb-size=512",
        "-cpu", "max,la57=off", "-smp", str(options.cpus),
        "-m", str(options.mem),
        "-device", _pmu_device(options),
        "-kernel", str(BUILD / "kernel"),
        "-initrd", str(BUILD / "initramfs"),
        "-append", APPEND + ("" if options.verbose else " quiet"),
        "-serial", "stdio",
        "-virtfs", "local,path=/,mount_tag=root," + SHARED,
        "-virtfs", "local,path=/usr,mount_tag=usr," + SHARED,
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=link,fd={link_fd}",
        "-device", "virtserialport,chardev=link",
        "-chardev", f"socket,id=monitor,fd={monitor_fd}",
        "-mon", "chardev=monitor,mode=control",
        *more
    ]


def _die_with(parent):
    """For the child: even a runner that is killed leaves no machine."""
    prctl = ctypes.CDLL(None).prctl

    def in_child():
        prctl(1, signal.SIGKILL)        # PR_SET_PDEATHSIG
        if os.getppid() != parent:      # it died before
            os._exit(1)
    return in_child


# Where the lab's init, or its kernel's oops or panic, begins.
LAST_WORDS = re.compile(r"lab-init:|Kernel panic|BUG: |Oops: |cut here|"
                        r"general protection|invalid opcode")


class Machine:
    """The running QEMU. console: its serial port and messages (a pipe).

    link_socket leads to the agent, monitor_socket to QMP. waits: the agent
    waits for its command already and will not say so.
    """

    def __init__(self, options, ram=None, more=()):
        self.link_socket, link = socket.socketpair()
        self.monitor_socket, monitor = socket.socketpair()
        fds = (link.fileno(), monitor.fileno())
        self.process = subprocess.Popen(
            _command_line(options, *fds, ram, more),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=fds,
            start_new_session=True, preexec_fn=_die_with(os.getpid()))
        link.close()
        monitor.close()
        self.console = self.process.stdout
        os.set_blocking(self.console.fileno(), False)
        self.verbose = options.verbose
        self.said = b""
        self.waits = False

    def read_console(self):
        """False: the console is closed."""
        try:
            data = os.read(self.console.fileno(), 65536)
        except BlockingIOError:
            return True
        self.said = (self.said + data)[-65536:]
        if self.verbose and data:
            sys.stderr.buffer.write(data.replace(b"\r", b""))
            sys.stderr.flush()
        return bool(data)

    def last_words(self):
        """Why it ended, from its console."""
        os.set_blocking(self.console.fileno(), True)
        while self.read_console():
            pass
        lines = self.said.decode(errors="replace").replace("\r", "")
        lines = [line for line in lines.split("\n") if line.strip()]
        for line in lines:
            if line.startswith("qemu-system"):
                return line
        wanted = [n for n, line in enumerate(lines) if LAST_WORDS.search(line)]
        first = wanted[0] if wanted else max(len(lines) - 12, 0)
        return "\n".join("  " + line for line in lines[first:first + 60])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.link_socket.close()
        self.monitor_socket.close()
