// QEMU's configuration of a VM: what stands in qemu.conf (-readconfig) and what on the command line. Pure.
#pragma once

#include "lib/paths.hpp"
#include "lib/vm.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace capsul {

using QemuOptions = std::vector<std::pair<std::string, std::string>>;

/// A section of the configuration: `[group "id"]` in the file, `-group id=…` on a command line.
struct QemuSection {
    std::string group;
    std::string id;
    QemuOptions options;
};

constexpr int most_nics = 8;

/// "net0": the NIC's netdev; its device is "net0-device".
[[nodiscard]] std::string nic_id(const Nic& nic);
/// The netdev of a NIC whose TAP QEMU gets attached, by a descriptor: a number, or a name given by QMP.
[[nodiscard]] QemuOptions tap_options(const std::string& descriptor);
/// The number of that descriptor for a VM that is started: capsul-run attaches to the TAP.
[[nodiscard]] int tap_descriptor(const Nic& nic);
[[nodiscard]] QemuOptions nic_device_options(const Nic& nic);

/// The port that a data disk is plugged into.
[[nodiscard]] std::string disk_port(const DataDisk& disk);
/// "disk-data": the drive or block node of a data disk, whose device is "disk-data-device".
[[nodiscard]] std::string disk_id(const DiskName& disk);
[[nodiscard]] QemuOptions disk_device_options(const DataDisk& disk);

/// A disk that the guest writes.
struct GuestDisk {
    std::string name; ///< "root", or that of a data disk
    std::string id;   ///< as QEMU knows it: of a drive, or of a block node
    std::filesystem::path file;
};

/// The files a VM's QEMU works with.
struct VmFiles {
    fs::path folder;  ///< its disk.qcow2, seed.iso, qemu.conf, serial.log
    fs::path runtime; ///< its sockets
    fs::path base;    ///< the image's disk
    std::optional<fs::path> kernel;
    std::optional<fs::path> initrd;
    std::string cmdline;

    [[nodiscard]] fs::path disk() const { return folder / "disk.qcow2"; }
    [[nodiscard]] fs::path seed() const { return folder / "seed.iso"; }
    [[nodiscard]] fs::path config() const { return folder / "qemu.conf"; }
    [[nodiscard]] fs::path serial_log() const { return folder / "serial.log"; }
    [[nodiscard]] fs::path data_disk(const DiskName& name) const {
        return folder / (disk_id(name) + ".qcow2");
    }
};

/// All disks of a VM, the one that it boots from first.
[[nodiscard]] std::vector<GuestDisk> guest_disks(const VmRecord& vm, const VmFiles& files);

/// What QEMU accelerates with. `kvm` only after a probe that ran guest code.
enum class Accelerator { kvm, tcg };

/// The virtual hardware.
[[nodiscard]] std::vector<QemuSection> qemu_sections(const VmRecord& vm, const VmFiles& files,
                                                     Accelerator accelerator);

/// What the format of -readconfig cannot hold: a quote, a line end, more bytes than this (QEMU
/// util/qemu-config.c).
constexpr std::size_t longest_config_value = 1023;
[[nodiscard]] bool fits_readconfig(std::string_view value);

/// As text for -readconfig. Throws Error (invalid) on a value that does not fit.
[[nodiscard]] std::string to_readconfig(const std::vector<QemuSection>& sections);

/// The command line: identity, sandbox, network, and -readconfig.
[[nodiscard]] std::vector<std::string> qemu_command(const VmRecord& vm, const VmFiles& files);

/// The same for people to read or paste: the sections are written out in place of -readconfig, and QEMU
/// attaches to the TAPs itself.
[[nodiscard]] std::vector<std::string> qemu_command_in_full(const VmRecord& vm, const VmFiles& files,
                                                            Accelerator accelerator);

} // namespace capsul
