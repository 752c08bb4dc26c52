#include "daemon/qemu_config.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr const char* disk_port_name = "bay";

QemuSection unix_socket(const std::string& id, const fs::path& path) {
    return {
        "chardev", id, {{"backend", "socket"}, {"path", path.string()}, {"server", "on"}, {"wait", "off"}}};
}

QemuSection machine_section(const VmFiles& files, Accelerator accelerator) {
    QemuSection machine{"machine",
                        "",
                        // A version, not "q35": what the guest sees must not change with an upgrade of QEMU.
                        {{"type", "pc-q35-7.2"},
                         {"accel", accelerator == Accelerator::kvm ? "kvm:tcg" : "tcg"},
                         {"dump-guest-core", "off"},
                         {"mem-merge", "off"},
                         {"usb", "off"},
                         {"vmport", "off"},
                         {"smbus", "off"}}};
    if (files.kernel) {
        machine.options.emplace_back("kernel", files.kernel->string());
        machine.options.emplace_back("append", files.cmdline);
    }
    if (files.kernel && files.initrd) {
        machine.options.emplace_back("initrd", files.initrd->string());
    }
    return machine;
}

/// Features that cost an emulated guest a quarter of its boot time and protect nothing there.
void add_emulated_cpu(std::vector<QemuSection>& sections) {
    for (const char* feature : {"erms", "la57", "smap", "smep", "pku"}) {
        sections.push_back(
            {"global", "", {{"driver", "max-x86_64-cpu"}, {"property", feature}, {"value", "off"}}});
    }
}

/// The format of every layer is named: the guest writes the first bytes of its disk and must not choose it.
QemuSection disk_section(const VmFiles& files) {
    return {"drive",
            "disk0",
            {{"if", "none"},
             {"driver", "qcow2"},
             {"file.driver", "file"},
             {"file.filename", files.disk().string()},
             {"file.locking", "on"},
             {"backing.driver", "qcow2"},
             {"backing.read-only", "on"},
             {"backing.file.driver", "file"},
             {"backing.file.filename", files.base.string()},
             {"discard", "unmap"},
             {"detect-zeroes", "unmap"},
             {"aio", "threads"},
             {"werror", "stop"},
             {"rerror", "stop"}}};
}

/// Without a base; what happens on an error is the device's to say, since a disk that is plugged in has no
/// drive.
QemuSection data_disk_section(const DataDisk& disk, const VmFiles& files) {
    return {"drive",
            disk_id(disk.name),
            {{"if", "none"},
             {"driver", "qcow2"},
             {"file.driver", "file"},
             {"file.filename", files.data_disk(disk.name).string()},
             {"file.locking", "on"},
             {"discard", "unmap"},
             {"detect-zeroes", "unmap"},
             {"aio", "threads"}}};
}

QemuSection seed_section(const VmFiles& files) {
    return {"drive",
            "seed0",
            {{"if", "none"},
             {"driver", "raw"},
             {"read-only", "on"},
             {"file.driver", "file"},
             {"file.filename", files.seed().string()}}};
}

void add_storage(std::vector<QemuSection>& sections, const VmFiles& files) {
    sections.push_back(disk_section(files));
    // 0 is the kernel's when QEMU loads one itself.
    sections.push_back(
        {"device", "disk0-device", {{"driver", "virtio-blk-pci"}, {"drive", "disk0"}, {"bootindex", "1"}}});
    sections.push_back(seed_section(files));
    sections.push_back({"device", "seed0-device", {{"driver", "virtio-blk-pci"}, {"drive", "seed0"}}});
}

void add_channels(std::vector<QemuSection>& sections, const VmFiles& files) {
    sections.push_back(unix_socket("qmp", files.runtime / "qmp.sock"));
    sections.push_back({"mon", "qmp", {{"chardev", "qmp"}, {"mode", "control"}}});
    // The unit's own ExecStop speaks here, so that a stop needs no daemon.
    sections.push_back(unix_socket("stop", files.runtime / "stop.sock"));
    sections.push_back({"mon", "stop", {{"chardev", "stop"}, {"mode", "control"}}});
    QemuSection console = unix_socket("console", files.runtime / "console.sock");
    console.options.emplace_back("logfile", files.serial_log().string());
    // Appending lets the log be cut short from outside while QEMU writes.
    console.options.emplace_back("logappend", "on");
    sections.push_back(std::move(console));
    sections.push_back({"device", "serial0", {{"driver", "isa-serial"}, {"chardev", "console"}}});
    sections.push_back(unix_socket("agent", files.runtime / "agent.sock"));
    // Port 0 is a console's, 1 the agent's. Of the usual 31 each has two queues that QEMU's main loop
    // watches, and it is the loop that carries the frames of NICs: a connection between guests took a quarter
    // more of CPU.
    sections.push_back({"device", "agent-bus", {{"driver", "virtio-serial-pci"}, {"max_ports", "2"}}});
    sections.push_back(
        {"device",
         "agent-port",
         {{"driver", "virtserialport"}, {"chardev", "agent"}, {"name", "org.qemu.guest_agent.0"}}});
}

std::string host_forward(const PublishedPort& port) {
    return fmt::format("hostfwd={}:{}:{}-:{}", port.is_udp() ? "udp" : "tcp", port.address(),
                       port.host_port(), port.guest_port());
}

/// On the command line, since -readconfig keeps only the last of several hostfwd lines (QEMU 7.2).
std::string user_netdev(const VmRecord& vm, const Nic& nic) {
    std::string netdev = fmt::format("user,id={},", nic_id(nic)) +
                         host_forward(PublishedPort::tcp("127.0.0.1", vm.ssh_port, 22));
    for (const PublishedPort& port : vm.publish) {
        netdev += "," + host_forward(port);
    }
    return netdev;
}

std::vector<std::string> fixed_arguments(const VmRecord& vm) {
    std::vector<std::string> argv{"/usr/bin/qemu-system-x86_64",
                                  "-nodefaults",
                                  "-no-user-config",
                                  "-display",
                                  "none",
                                  "-sandbox",
                                  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
                                  "-name",
                                  "guest=" + vm.name.to_string() + ",debug-threads=on",
                                  "-uuid",
                                  vm.uuid.to_string(),
                                  "-cpu",
                                  "max",
                                  "-smbios",
                                  "type=1,serial=ds=nocloud"};
    for (const Nic& nic : vm.nics) {
        if (!nic.tap) {
            argv.insert(argv.end(), {"-netdev", user_netdev(vm, nic)});
        }
    }
    return argv;
}

/// Ports that are functions of one device of the root bus.
void add_ports(std::vector<QemuSection>& sections, const char* name, int count, int device,
               int first_chassis) {
    for (int slot = 0; slot < count; ++slot) {
        sections.push_back({"device",
                            fmt::format("{}{}", name, slot),
                            {{"driver", "pcie-root-port"},
                             {"chassis", std::to_string(first_chassis + slot)},
                             {"addr", fmt::format("{:x}.{}", device, slot)},
                             {"multifunction", "on"}}});
    }
}

/// Each NIC and data disk has a port of its own, numbered as its slot: so it can be plugged in and out, and
/// keeps its place when others come and go. The NICs' ports come first, as their guests' names for them
/// follow from the numbers of buses.
void add_all_ports(std::vector<QemuSection>& sections) {
    add_ports(sections, "port", most_nics, 0x10, 1);
    add_ports(sections, disk_port_name, most_disks, 0x11, 1 + most_nics);
}

void add_data_disks(std::vector<QemuSection>& sections, const VmRecord& vm, const VmFiles& files) {
    for (const DataDisk& disk : vm.disks) {
        sections.push_back(data_disk_section(disk, files));
        sections.push_back({"device", disk_id(disk.name) + "-device", disk_device_options(disk)});
    }
}

void add_nics(std::vector<QemuSection>& sections, const VmRecord& vm) {
    for (const Nic& nic : vm.nics) {
        if (nic.tap) {
            sections.push_back({"netdev", nic_id(nic), tap_options(std::to_string(tap_descriptor(nic)))});
        }
        sections.push_back({"device", nic_id(nic) + "-device", nic_device_options(nic)});
    }
}

std::string doubled_commas(const std::string& value) {
    std::string out;
    for (const char c : value) {
        out += c;
        if (c == ',') {
            out += c;
        }
    }
    return out;
}

std::string as_argument(const QemuSection& section) {
    std::string argument = section.id.empty() ? "" : "id=" + section.id;
    for (const auto& [key, value] : section.options) {
        argument += (argument.empty() ? "" : ",") + key + "=" + doubled_commas(value);
    }
    return argument;
}

/// As if there were no capsul-run.
void name_taps(std::vector<QemuSection>& sections, const VmRecord& vm) {
    for (const Nic& nic : vm.nics) {
        const auto netdev = std::ranges::find_if(sections, [&](const QemuSection& section) {
            return section.group == "netdev" && section.id == nic_id(nic);
        });
        if (netdev != sections.end()) {
            netdev->options = {{"type", "tap"},
                               {"ifname", nic.tap->to_string()},
                               {"script", "no"},
                               {"downscript", "no"},
                               {"vhost", "off"}};
        }
    }
}

std::string option_name(const std::string& group) {
    if (group == "memory") {
        return "-m";
    }
    return group == "smp-opts" ? "-smp" : "-" + group;
}

} // namespace

std::string nic_id(const Nic& nic) {
    return fmt::format("net{}", nic.slot);
}

QemuOptions tap_options(const std::string& descriptor) {
    return {{"type", "tap"}, {"fd", descriptor}, {"vhost", "off"}};
}

int tap_descriptor(const Nic& nic) {
    constexpr int first = 10;
    return first + nic.slot;
}

QemuOptions nic_device_options(const Nic& nic) {
    QemuOptions options{{"driver", "virtio-net-pci"},
                        {"netdev", nic_id(nic)},
                        {"bus", fmt::format("port{}", nic.slot)},
                        {"mac", nic.mac.to_string()},
                        {"romfile", ""}};
    if (nic.mtu) {
        options.emplace_back("host_mtu", std::to_string(*nic.mtu)); // the guest's driver asks for it
    }
    return options;
}

std::string disk_port(const DataDisk& disk) {
    return fmt::format("{}{}", disk_port_name, disk.slot);
}

std::string disk_id(const DiskName& disk) {
    return "disk-" + disk.to_string();
}

/// By the serial number the guest has it as /dev/disk/by-id/virtio-NAME.
QemuOptions disk_device_options(const DataDisk& disk) {
    return {{"driver", "virtio-blk-pci"}, {"drive", disk_id(disk.name)},
            {"bus", disk_port(disk)},     {"serial", disk.name.to_string()},
            {"werror", "stop"},           {"rerror", "stop"}};
}

std::vector<GuestDisk> guest_disks(const VmRecord& vm, const VmFiles& files) {
    std::vector<GuestDisk> disks{{std::string(root_disk), "disk0", files.disk()}};
    for (const DataDisk& disk : vm.disks) {
        disks.push_back({disk.name.to_string(), disk_id(disk.name), files.data_disk(disk.name)});
    }
    return disks;
}

/// A machine that can never have a second CPU is emulated without memory barriers (QEMU's tcg_gen_mb and the
/// atomic operations leave them out). But QEMU's own threads share memory with that one CPU: sooner or later
/// a virtio device and its driver each wait for the other, and a NIC or disk stands still for good.
QemuSection cpus_section(int cpus, Accelerator accelerator) {
    QemuSection section{"smp-opts", "", {{"cpus", std::to_string(cpus)}}};
    if (accelerator == Accelerator::tcg && cpus == 1) {
        section.options.emplace_back("maxcpus", "2");
    }
    return section;
}

std::vector<QemuSection> qemu_sections(const VmRecord& vm, const VmFiles& files, Accelerator accelerator) {
    std::vector<QemuSection> sections{
        machine_section(files, accelerator),
        {"memory", "", {{"size", std::to_string(vm.memory.count()) + "B"}}},
        cpus_section(vm.cpus.number(), accelerator),
    };
    if (accelerator == Accelerator::tcg) {
        add_emulated_cpu(sections);
    }
    add_storage(sections, files);
    add_channels(sections, files);
    add_all_ports(sections);
    add_nics(sections, vm);
    add_data_disks(sections, vm, files);
    sections.push_back({"object", "rng0", {{"qom-type", "rng-random"}, {"filename", "/dev/urandom"}}});
    sections.push_back({"device", "rng0-device", {{"driver", "virtio-rng-pci"}, {"rng", "rng0"}}});
    return sections;
}

bool fits_readconfig(std::string_view value) {
    return value.size() <= longest_config_value && value.find_first_of("\"\n\r") == std::string_view::npos;
}

std::string to_readconfig(const std::vector<QemuSection>& sections) {
    std::string text;
    for (const QemuSection& section : sections) {
        text += section.id.empty() ? fmt::format("[{}]\n", section.group)
                                   : fmt::format("[{} \"{}\"]\n", section.group, section.id);
        for (const auto& [key, value] : section.options) {
            if (!fits_readconfig(value)) {
                throw Error(ErrorCode::invalid, fmt::format("qemu.conf cannot hold this value of {}", key),
                            "it must be shorter than 1,024 bytes and without quotes and line ends");
            }
            text += fmt::format("  {} = \"{}\"\n", key, value);
        }
        text += "\n";
    }
    return text;
}

std::vector<std::string> qemu_command(const VmRecord& vm, const VmFiles& files) {
    std::vector<std::string> argv = fixed_arguments(vm);
    argv.emplace_back("-readconfig");
    argv.push_back(files.config().string());
    return argv;
}

std::vector<std::string> qemu_command_in_full(const VmRecord& vm, const VmFiles& files,
                                              Accelerator accelerator) {
    std::vector<std::string> argv = fixed_arguments(vm);
    std::vector<QemuSection> sections = qemu_sections(vm, files, accelerator);
    name_taps(sections, vm);
    for (const QemuSection& section : sections) {
        argv.push_back(option_name(section.group));
        argv.push_back(as_argument(section));
    }
    return argv;
}

} // namespace capsul
