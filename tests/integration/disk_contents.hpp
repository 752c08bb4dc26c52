// What stands on the disks of a VM: read and written with qemu-io, by QEMU itself while it runs.
#pragma once

#include "tests/integration/vm_fixture.hpp"

namespace capsul {

class VmDisksTest : public VmServiceTest {
  protected:
    VmRecord record(const Name& name) { return daemon_->store.vms.load(name); }

    Vm make(const std::string& name, bool start = true) {
        VmCreate call = wanted(name);
        call.start = start;
        return decode<Vm>(run(call));
    }

    void stop(const Name& name) { run(VmStop{name, {}, true}); }

    fs::path file_of(const Name& vm, const std::string& disk) {
        return disk == root_disk ? paths_.vm(vm) / "disk.qcow2" : paths_.vm(vm) / ("disk-" + disk + ".qcow2");
    }

    /// What QEMU says to a command of its monitor for people.
    std::string tell_qemu(const Name& vm, const std::string& line) {
        return daemon_->monitors.connection(vm, 5s)
            ->execute("human-monitor-command", {{"command-line", line}}, 30s)
            .get<std::string>();
    }

    /// Fills the beginning of a disk with one byte.
    void write(const Name& vm, const std::string& disk, int byte) {
        qemu_io(vm, disk, fmt::format("write -P {} 0 64k", byte));
        ASSERT_TRUE(holds(vm, disk, byte));
    }

    /// By QEMU itself while the VM runs.
    void qemu_io(const Name& vm, const std::string& disk, const std::string& command) {
        if (is_running(vm)) {
            in_qemu(vm, disk, command);
        } else {
            ASSERT_EQ(run_process({"qemu-io", "-f", "qcow2", "-c", command, file_of(vm, disk).string()}, 30s)
                          .status,
                      0);
        }
    }

    testing::AssertionResult holds(const Name& vm, const std::string& disk, int byte) {
        if (is_running(vm)) {
            in_qemu(vm, disk, "flush"); // so that the file has it
        }
        const ProcessResult read =
            run_process({"qemu-io", "-r", "-U", "-f", "qcow2", "-c", fmt::format("read -P {} 0 64k", byte),
                         file_of(vm, disk).string()},
                        30s);
        const bool ok = read.out.find("read 65536/65536") != std::string::npos &&
                        read.out.find("verification failed") == std::string::npos;
        return ok ? testing::AssertionSuccess() : testing::AssertionFailure() << read.out << read.err;
    }

    /// As if the daemon had been killed and started anew.
    void start_anew() {
        daemon_.reset();
        daemon_ = std::make_unique<Daemon>(paths_);
        daemon_->vms.recover();
        daemon_->disks.recover();
        daemon_->snapshots.recover();
        daemon_->backups.recover();
    }

    const Name web_ = Name::parse("web");

  private:
    bool is_running(const Name& vm) { return decode<Vm>(ask(VmShow{vm})).state != VmState::stopped; }

    void in_qemu(const Name& vm, const std::string& disk, const std::string& command) {
        const std::string where = disk == root_disk
                                      ? std::string("disk0")
                                      : "-d /machine/peripheral/disk-" + disk + "-device/virtio-backend";
        tell_qemu(vm, fmt::format("qemu-io {} \"{}\"", where, command));
    }
};

} // namespace capsul
