# SPDX-License-Identifier: GPL-2.0
"""QEMU command lines: a q35 machine with PCI devices, or a microvm with virtio-mmio devices.

Stock QEMU 11.1 has no virtio-fs device with a window; its vhost-user-test-device takes the window from the back-end
(vhost-user SHMEM). On MMIO the shm-mmio plugin adds the registers and the place for the window that QEMU lacks.
"""

MMIO_BASE = 0xFEB00000
MMIO_STEP = 0x200
# Above RAM and within the 40 address bits that TCG gives the guest: one slot of 64 GiB (the largest window) per device.
WINDOW_BASE = 64 << 30
WINDOW_STEP = 64 << 30
FS_ID = 26
# Without 5-level page tables: while the kernel identifies its CPU it forgets for a moment that it has them, and an
# interrupt in that moment ends in a false report of KASAN or a hang (seen once in fifty boots).
CPU = "max,la57=off"


def config_size():
    """tag[36] and num_request_queues of struct virtio_fs_config."""
    return 40


class Machine:
    def __init__(self, transport, smp, memory, kernel, initrd, out, sock):
        self.transport, self.smp, self.out, self.sock = transport, smp, out, sock
        # Window address by tag, as the plugin is told (MMIO only).
        self.windows = {}
        # A loaded host may be late with the first ticks of the timer, which the kernel would take for a broken one.
        self.append = "panic=-1 oops=panic reboot=t quiet no_timer_check"
        # One CPU of a microvm can do with ISA devices, more need ACPI, whose machine has no serial interrupt and no
        # timer to calibrate the TSC with.
        self.acpi = smp > 1
        # A microvm with ACPI has 24 buses, but the interrupts of the first ones do not arrive; the other kind has 8, and
        # the clock has the interrupt of number 3.
        self.buses = list(range(8, 24)) if self.acpi else [0, 1, 2, 4, 5, 6, 7]
        if transport == "pci":
            machine = "q35,memory-backend=mem"
        elif self.acpi:
            machine = "microvm,acpi=on,pit=off,pic=off,rtc=on,memory-backend=mem"
        else:
            machine = "microvm,acpi=off,rtc=on,memory-backend=mem"
        self.args = ["qemu-system-x86_64", "-M", machine, "-accel", "tcg,thread=multi", "-cpu", CPU,
                     "-smp", str(smp), "-m", memory, "-object", f"memory-backend-memfd,id=mem,size={memory},share=on",
                     "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                     "-kernel", str(kernel), "-initrd", str(initrd), "-d", "invalid_mem", "-D", f"{out}/qemu-invalid.log"]
        if transport == "mmio":
            self.args += ["-global", "virtio-mmio.force-legacy=false"]

    def _device(self, pci, mmio, options=""):
        """A virtio device: PCI, or on the next free virtio-mmio bus."""
        if self.transport == "pci":
            self.args += ["-device", f"{pci}{options}"]
            return None
        if not self.buses:
            raise SystemExit("error: too many devices for this machine\n  use fewer, --smp 2, or --transport pci")
        bus = self.buses.pop(0)
        self.args += ["-device", f"{mmio},bus=virtio-mmio-bus.{bus}{options}"]
        return MMIO_BASE + MMIO_STEP * bus

    def ports(self, shell):
        """Console, and the two ports: requests to the host's agent, and the guest's output."""
        log = f"logfile={self.out}/console.log"
        back = f"stdio,signal=off,{log}" if shell else f"null,{log}"
        self.args += ["-chardev", f"{back},id=con"]
        self._device("virtio-serial-pci", "virtio-serial-device")
        # Where the serial line has no interrupt it still prints the log; a prompt needs more.
        if shell and self.transport == "mmio" and self.acpi:
            self.args += ["-serial", "none", "-device", "virtconsole,chardev=con"]
            self.append += " console=hvc0"
        else:
            self.args += ["-serial", "chardev:con"]
            self.append += " console=ttyS0"
        self.args += ["-chardev", f"socket,id=ctl,path={self.sock}/ctl.sock,server=on,wait=off",
                      "-device", "virtserialport,chardev=ctl,name=org.rust_fuse.ctl",
                      "-chardev", f"file,id=out,path={self.out}/guest.out",
                      "-device", "virtserialport,chardev=out,name=org.rust_fuse.out"]

    def disk(self, path):
        """A disk that the guest can only read."""
        self.args += ["-blockdev", f"driver=file,node-name=disk,filename={path},read-only=on"]
        self._device("virtio-blk-pci", "virtio-blk-device", ",drive=disk")

    def daxfs(self, n, tag, socket, queues, window, ring=1024):
        """A device served by daxfsd; its queues are hiprio and the request queues."""
        self.args += ["-chardev", f"socket,id=fs{n},path={socket}"]
        options = f",id=vfs{n},chardev=fs{n},virtio-id={FS_ID},num_vqs={1 + queues},config_size={config_size()},vq_size={ring}"
        base = self._device("vhost-user-test-device-pci", "vhost-user-test-device", options)
        if base is not None and window:
            self.windows[tag] = (f"vfs{n}", base, WINDOW_BASE + WINDOW_STEP * len(self.windows), window)

    def virtiofs(self, n, tag, socket, queues):
        """QEMU's own device for the stock daemon: it has no window."""
        self.args += ["-chardev", f"socket,id=fs{n},path={socket}"]
        self._device("vhost-user-fs-pci", "vhost-user-fs-device",
                     f",id=vfs{n},chardev=fs{n},tag={tag},num-request-queues={queues},queue-size=1024")

    def plugin(self, path):
        """Loads the shm-mmio plugin for the devices that have a window."""
        regions = ",".join(f"region={dev}:{base:#x}:{address:#x}:{length:#x}" for dev, base, address, length in self.windows.values())
        if regions:
            self.args += ["-plugin", f"{path},{regions}"]

    def command(self, khz, gdb, extra):
        if self.transport == "mmio" and self.acpi:
            self.append += f" tsc_early_khz={khz}"
        if gdb:
            self.args += ["-s"]
        return self.args + ["-append", f"{self.append} {extra}".strip()]


def tsc_khz():
    """The host's TSC rate, which TCG hands to the guest; from the kernel's log of it or the nominal clock."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1000)
    return 2400000
