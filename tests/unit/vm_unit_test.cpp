#include "daemon/unit_file.hpp"
#include "daemon/vm_unit.hpp"

#include "tests/unit/golden.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

VmRecord web() {
    VmRecord vm;
    vm.name = Name::parse("web");
    vm.uuid = Uuid::parse("0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c01");
    vm.image = Name::parse("debian-12");
    vm.image_digest = Digest::parse("sha256:" + std::string(64, 'a'));
    vm.cpus = CpuCount::from_number(2);
    vm.memory = Bytes::parse("1G");
    vm.disk = Bytes::parse("20G");
    Nic nic;
    nic.network = Name::parse("user");
    nic.mac = Mac::parse("02:00:00:00:00:01");
    vm.nics = {nic};
    vm.ssh_port = 22000;
    vm.publish = {PublishedPort::parse("8080:80/tcp"), PublishedPort::parse("0.0.0.0:5353:53/udp")};
    return vm;
}

Nic tap_nic() {
    Nic nic = web().nics.front();
    nic.slot = 1;
    nic.network = Name::parse("lan");
    nic.tap = InterfaceName::parse("cap-web-1");
    return nic;
}

VmFiles plain_files() {
    return {.folder = "/home/alice/.local/share/capsul/vms/web",
            .runtime = "/run/user/1000/capsul/vms/web",
            .base = "/home/alice/.local/share/capsul/images/sha256-aa.qcow2",
            .kernel = {},
            .initrd = {},
            .cmdline = {}};
}

VmFiles kernel_files() {
    VmFiles files = plain_files();
    files.kernel = "/home/alice/.local/share/capsul/images/sha256-bb.kernel";
    files.initrd = "/home/alice/.local/share/capsul/images/sha256-cc.initrd";
    files.cmdline = "root=LABEL=root console=ttyS0";
    return files;
}

bool has_option(const std::vector<QemuSection>& sections, const std::string& key, const std::string& value) {
    return std::ranges::any_of(sections, [&](const QemuSection& section) {
        return std::ranges::find(section.options, std::pair(key, value)) != section.options.end();
    });
}

TEST(VmUnit, IsAsGolden) {
    expect_golden("capsul-vm-web.service", vm_unit(web(), plain_files(), "/usr/libexec/capsul"));
}

TEST(VmUnit, ShowsKernelAndProgramsOutsideUsrThroughTheSandbox) {
    expect_golden("capsul-vm-web-home.service",
                  vm_unit(web(), kernel_files(), "/home/alice/.local/libexec/capsul"));
}

TEST(VmUnit, GivesAVmOnlyWhatItsNicsNeed) {
    const Nic user = web().nics.front();
    const Nic tap = tap_nic();
    const auto unit = [](const std::vector<Nic>& nics) {
        VmRecord vm = web();
        vm.nics = nics;
        return vm_unit(vm, plain_files(), "/usr/libexec/capsul");
    };
    const std::string taps = unit({tap});
    EXPECT_NE(taps.find("\nRequires=capsul-tap-web.service\nAfter=capsul-tap-web.service\n"),
              std::string::npos);
    EXPECT_NE(taps.find("\nRestrictAddressFamilies=AF_UNIX\n"), std::string::npos);
    EXPECT_NE(taps.find("\nBindPaths=/dev/net/tun\n"), std::string::npos);
    EXPECT_NE(taps.find("capsul-run --tap 11=cap-web-1 --ro"), std::string::npos);
    EXPECT_EQ(taps.find("/run/systemd/resolve"), std::string::npos);
    const std::string none = unit({});
    EXPECT_NE(none.find("capsul-run --ro"), std::string::npos);
    EXPECT_EQ(none.find("/dev/net/tun"), std::string::npos);
    const std::string both = unit({user, tap});
    EXPECT_NE(both.find("capsul-run --net user --tap 11=cap-web-1 --ro"), std::string::npos);
    EXPECT_NE(both.find("\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"), std::string::npos);
}

TEST(VmUnit, BringsUpTheSocketOfPortsThatQemuDoesNotPublish) {
    const std::string wants = "\nWants=capsul-publish-web.socket\nAfter=capsul-publish-web.socket\n";
    VmRecord vm = web();
    EXPECT_EQ(vm_unit(vm, plain_files(), "/usr/libexec/capsul").find(wants), std::string::npos);
    vm.nics.front().network = Name::parse("lan");
    vm.nics.front().tap = InterfaceName::parse("cap-web-0");
    EXPECT_NE(vm_unit(vm, plain_files(), "/usr/libexec/capsul").find(wants), std::string::npos);
    vm.publish.clear();
    EXPECT_EQ(vm_unit(vm, plain_files(), "/usr/libexec/capsul").find(wants), std::string::npos);
}

TEST(VmUnit, HidesOtherVmsWhereverTheyAre) {
    VmFiles files = plain_files();
    files.folder = "/srv/alice/capsul/vms/web";
    files.base = "/srv/alice/capsul/images/sha256-aa.qcow2";
    const std::string text = vm_unit(web(), files, "/usr/libexec/capsul");
    EXPECT_NE(text.find("\nTemporaryFileSystem=%h:ro /srv/alice/capsul/vms:ro /srv/alice/capsul/images:ro\n"),
              std::string::npos);
    EXPECT_NE(text.find("\nInaccessiblePaths=-/boot -/mnt -/media\n"), std::string::npos);
}

TEST(VmUnit, HasNoTrailingComments) {
    // systemd takes "yes # why" for a bad value and drops the directive.
    const std::string text = vm_unit(web(), kernel_files(), "/usr/libexec/capsul");
    std::size_t start = 0;
    while (start < text.size()) {
        const std::string line = text.substr(start, text.find('\n', start) - start);
        start += line.size() + 1;
        EXPECT_TRUE(line.starts_with('#') || line.find(" #") == std::string::npos) << line;
    }
}

VmRecord with_disks() {
    VmRecord vm = web();
    vm.disks = {{DiskName::parse("data"), 0, Bytes::parse("5G"), {}},
                {DiskName::parse("logs"), 2, Bytes::parse("1G"), {}}};
    return vm;
}

TEST(VmUnit, LetsQemuWriteItsDataDisks) {
    const std::string text = vm_unit(with_disks(), plain_files(), "/usr/libexec/capsul");
    const std::string file = "/home/alice/.local/share/capsul/vms/web/disk-data.qcow2";
    EXPECT_NE(text.find(" --rw " + file + " "), std::string::npos);
    for (const std::string line : {"\nBindPaths=", "\nNoExecPaths="}) {
        const auto begin = text.rfind(line);
        EXPECT_NE(text.substr(begin + 1, text.find('\n', begin + 1) - begin).find(" " + file),
                  std::string::npos)
            << line;
    }
}

TEST(VmUnit, LeavesAQemuThatHasMoreMemoryWhatItHas) {
    const auto limit = [](const VmRecord& vm) {
        const std::string text = vm_unit(vm, plain_files(), "/usr/libexec/capsul");
        return text.substr(text.find("MemoryMax="), 30);
    };
    VmRecord vm = web();
    const std::string before = limit(vm);
    vm.memory_before = vm.memory;
    vm.memory = Bytes::parse("512M");
    EXPECT_EQ(limit(vm), before);
    vm.memory_before.reset();
    EXPECT_NE(limit(vm), before);
}

TEST(VmUnit, IsSealed) {
    EXPECT_EQ(check_seal(vm_unit(web(), plain_files(), "/usr/libexec/capsul")), SealState::whole);
}

TEST(QemuConfig, IsAsGolden) {
    expect_golden("qemu.conf", to_readconfig(qemu_sections(web(), plain_files(), Accelerator::kvm)));
    expect_golden("qemu-tcg-kernel.conf",
                  to_readconfig(qemu_sections(web(), kernel_files(), Accelerator::tcg)));
}

TEST(QemuConfig, WithDataDisksIsAsGolden) {
    expect_golden("qemu-disks.conf",
                  to_readconfig(qemu_sections(with_disks(), plain_files(), Accelerator::kvm)));
}

TEST(QemuConfig, CommandInFullIsAsGolden) {
    expect_golden(
        "qemu-command.txt",
        fmt::format("{}\n", fmt::join(qemu_command_in_full(web(), kernel_files(), Accelerator::tcg), "\n")));
}

TEST(QemuConfig, TakesTapsFromCapsulRunAndNamesThemForPeople) {
    VmRecord vm = web();
    vm.nics = {tap_nic()};
    const std::string file = to_readconfig(qemu_sections(vm, plain_files(), Accelerator::kvm));
    EXPECT_NE(file.find("[netdev \"net1\"]\n  type = \"tap\"\n  fd = \"11\"\n  vhost = \"off\"\n"),
              std::string::npos);
    const auto argv = qemu_command_in_full(vm, plain_files(), Accelerator::kvm);
    EXPECT_NE(std::ranges::find(argv, "id=net1,type=tap,ifname=cap-web-1,script=no,downscript=no,vhost=off"),
              argv.end());
}

TEST(QemuConfig, NamesTheFormatOfEveryLayerOfTheDisk) {
    const auto sections = qemu_sections(web(), plain_files(), Accelerator::kvm);
    EXPECT_TRUE(has_option(sections, "driver", "qcow2"));
    EXPECT_TRUE(has_option(sections, "backing.driver", "qcow2"));
    EXPECT_TRUE(has_option(sections, "backing.file.driver", "file"));
}

TEST(QemuConfig, EmulatesOnlyWhereKvmDoesNotWork) {
    EXPECT_TRUE(has_option(qemu_sections(web(), plain_files(), Accelerator::kvm), "accel", "kvm:tcg"));
    EXPECT_TRUE(has_option(qemu_sections(web(), plain_files(), Accelerator::tcg), "accel", "tcg"));
}

TEST(QemuConfig, AnEmulatedMachineCouldAlwaysHaveASecondCpu) {
    VmRecord vm = web();
    vm.cpus = CpuCount::from_number(1);
    EXPECT_TRUE(has_option(qemu_sections(vm, plain_files(), Accelerator::tcg), "maxcpus", "2"));
    EXPECT_FALSE(has_option(qemu_sections(vm, plain_files(), Accelerator::kvm), "maxcpus", "2"));
    vm.cpus = CpuCount::from_number(2);
    EXPECT_FALSE(has_option(qemu_sections(vm, plain_files(), Accelerator::tcg), "maxcpus", "2"));
}

TEST(QemuConfig, RefusesAValueThatItsFormatCannotHold) {
    for (const std::string& bad : {std::string("a\"b"), std::string("a\nb"), std::string(1024, 'x')}) {
        VmFiles files = kernel_files();
        files.cmdline = bad;
        EXPECT_THROW(static_cast<void>(to_readconfig(qemu_sections(web(), files, Accelerator::kvm))), Error);
    }
}

TEST(QemuConfig, DoublesCommasOnTheCommandLine) {
    VmFiles files = kernel_files();
    files.cmdline = "a,b";
    const auto argv = qemu_command_in_full(web(), files, Accelerator::kvm);
    EXPECT_TRUE(std::ranges::any_of(
        argv, [](const std::string& word) { return word.find("append=a,,b") != std::string::npos; }));
}

} // namespace
} // namespace capsul
