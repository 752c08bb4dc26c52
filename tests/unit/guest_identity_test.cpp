// The script that makes a copied machine one of its own, run in a folder instead of on /.
#include "daemon/guest_identity.hpp"

#include "golden.hpp"

#include "daemon/process.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <gtest/gtest.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

const std::string copied_id(32, 'a');

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
    return text;
}

/// A machine that was copied while it was up, in a folder.
class GuestIdentity : public testing::Test {
  protected:
    GuestIdentity() {
        write("etc/machine-id", copied_id + "\n");
        write("var/lib/dbus/machine-id", copied_id + "\n");
        write("etc/ssh/ssh_host_ed25519_key", "copied");
        write("etc/ssh/ssh_host_ed25519_key.pub", "copied");
        write("etc/ssh/sshd_config", "Port 22\n");
        write("var/lib/cloud/instances/other/obj.pkl", "copied");
        write("var/lib/cloud/instances/one/obj.pkl", "its own");
        fs::create_symlink(root_ / "var/lib/cloud/instances/one", root_ / "var/lib/cloud/instance");
        write("var/log/app.log", "copied\n");
        write("var/log/app.log.1", "copied\n");
        write("var/log/app.log.2.gz", "copied\n");
        write("var/log/journal/" + copied_id + "/system.journal", "copied");
        write("var/log/journal/remote/other.journal", "of others");
        write("var/lib/dhcp/dhclient.eth0.leases", "copied");
        fs::create_directories(root_ /
                               "bin"); // all programs that there are: none is to reach the real systemd
        for (const char* const tool :
             {"cat", "chmod", "find", "grep", "ln", "mkdir", "mv", "rm", "sh", "timeout", "tr", "truncate"}) {
            fs::create_symlink(find_program(tool), root_ / "bin" / tool);
        }
        program("systemd-machine-id-setup", "[ -s etc/machine-id ] || echo 0123456789abcdef >etc/machine-id");
        program("systemctl", "echo \"$*\" >>systemctl.log");
        program("sync", "echo synced >>sync.log");
    }

    void write(const std::string& file, const std::string& text) const {
        fs::create_directories((root_ / file).parent_path());
        replace_file(root_ / file, text);
    }
    [[nodiscard]] std::string text(const std::string& file) const {
        return has(file) ? read_file(root_ / file) : std::string("(none)");
    }
    [[nodiscard]] bool has(const std::string& file) const {
        return fs::exists(fs::symlink_status(root_ / file));
    }
    void program(const char* name, const std::string& body) const {
        replace_file(root_ / "bin" / name, "#!/bin/sh\ncd " + root_.string() + "\n" + body + "\n", 0755);
    }

    ProcessResult boot(const std::string& instance) const {
        std::string script(identity_script());
        for (const char* const folder : {"/etc/", "/var/", "/run/"}) {
            script = replaced(script, folder, std::string("@ROOT") + folder);
        }
        script = replaced(script, "@ROOT", root_.string());
        replace_file(root_ / "script", script, 0755);
        return run_process({"/usr/bin/env", "PATH=" + (root_ / "bin").string(), "INSTANCE_ID=" + instance,
                            (root_ / "script").string()},
                           30s);
    }

    test::TemporaryFolder temporary_;
    fs::path root_ = temporary_.path();
};

TEST_F(GuestIdentity, IsAsGolden) {
    expect_golden("cloud_init/identity.sh", std::string(identity_script()));
}

TEST_F(GuestIdentity, IsNewInAnInstancesFirstBoot) {
    const ProcessResult result = boot("one");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(text("etc/machine-id"), "0123456789abcdef\n");
    EXPECT_EQ(fs::read_symlink(root_ / "var/lib/dbus/machine-id"), root_ / "etc/machine-id");
    EXPECT_FALSE(has("etc/ssh/ssh_host_ed25519_key"));
    EXPECT_FALSE(has("etc/ssh/ssh_host_ed25519_key.pub"));
    EXPECT_TRUE(has("etc/ssh/sshd_config"));
    EXPECT_FALSE(has("var/lib/cloud/instances/other"));
    EXPECT_EQ(text("var/lib/cloud/instances/one/obj.pkl"), "its own");
    EXPECT_FALSE(has("var/lib/dhcp/dhclient.eth0.leases"));
    EXPECT_EQ(text("sync.log"), "synced\n");
}

TEST_F(GuestIdentity, LeavesNothingInLogs) {
    boot("one");
    EXPECT_EQ(text("var/log/app.log"), "");
    EXPECT_FALSE(has("var/log/app.log.1"));
    EXPECT_FALSE(has("var/log/app.log.2.gz"));
    EXPECT_FALSE(has("var/log/journal/" + copied_id));
    EXPECT_EQ(text("var/log/journal/remote/other.journal"), "of others");
    EXPECT_EQ(text("systemctl.log"), "try-restart systemd-journald.service\n");
}

TEST_F(GuestIdentity, StaysAsItIsInLaterBoots) {
    boot("one");
    write("etc/ssh/ssh_host_ed25519_key", "its own");
    write("etc/machine-id", "set by hand\n");
    write("var/log/app.log", "its own\n");
    fs::remove(root_ / "systemctl.log");
    EXPECT_EQ(boot("one").status, 0);
    EXPECT_EQ(text("etc/machine-id"), "set by hand\n");
    EXPECT_EQ(text("etc/ssh/ssh_host_ed25519_key"), "its own");
    EXPECT_EQ(text("var/log/app.log"), "its own\n");
    EXPECT_FALSE(has("systemctl.log"));
}

TEST_F(GuestIdentity, IsNewAgainInACopyOfTheCopy) {
    boot("one");
    write("etc/machine-id", copied_id);
    write("etc/ssh/ssh_host_ed25519_key", "copied");
    EXPECT_EQ(boot("two").status, 0);
    EXPECT_EQ(text("etc/machine-id"), "0123456789abcdef\n");
    EXPECT_FALSE(has("etc/ssh/ssh_host_ed25519_key"));
    EXPECT_FALSE(has("var/lib/cloud/instances/one"));
}

TEST_F(GuestIdentity, NeverCostsAnInstanceTheKeysThatCloudInitMadeForIt) {
    write("var/lib/cloud/instances/one/sem/config_ssh", ""); // a power cut may have lost the mark alone
    EXPECT_EQ(boot("one").status, 0);
    EXPECT_TRUE(has("etc/ssh/ssh_host_ed25519_key"));
}

TEST_F(GuestIdentity, ChangesNothingWhereNothingCanBeMarked) {
    write("var/lib/capsul", "in the way");
    EXPECT_NE(boot("one").status, 0);
    EXPECT_EQ(text("etc/machine-id"), copied_id + "\n");
    EXPECT_TRUE(has("etc/ssh/ssh_host_ed25519_key"));
}

TEST_F(GuestIdentity, DoesWithoutSystemd) {
    fs::remove(root_ / "bin/systemctl");
    program("systemd-machine-id-setup", "exit 127");
    EXPECT_EQ(boot("one").status, 0);
    std::string id = text("etc/machine-id");
    ASSERT_EQ(id.size(), 33U) << id;
    id.pop_back();
    EXPECT_TRUE(std::ranges::all_of(id, [](unsigned char c) { return std::isxdigit(c) != 0; })) << id;
    EXPECT_EQ(fs::status(root_ / "etc/machine-id").permissions(), fs::perms{0444});
}

TEST_F(GuestIdentity, AsksForAddressesAgainWhereTheMachineIdWasInTheQuestion) {
    const std::string lease = "run/systemd/netif/leases/2";
    write(lease, "ADDRESS=10.0.2.15\nCLIENTID=01020000000001\n");
    boot("one");
    EXPECT_EQ(text("systemctl.log").find("networkd"), std::string::npos);
    write(lease, "ADDRESS=10.0.2.15\nCLIENTID=ffd00d0000000002\n");
    boot("two");
    EXPECT_NE(text("systemctl.log").find("systemd-networkd.service"), std::string::npos);
}

/// The parts of a message as cloud-init, which is Python, finds them: a type a line, then all content.
std::string parts_of(const std::string& message) {
    const ProcessResult result = run_process(
        {"/usr/bin/python3", "-c",
         "import email, sys\n"
         "parts = [p for p in email.message_from_string(sys.argv[1]).walk() if not p.is_multipart()]\n"
         "print(*[p.get_content_type() for p in parts], *[p.get_payload() for p in parts], sep='\\n', "
         "end='')",
         message},
        30s);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
}

const std::string others =
    "Content-Type: text/x-shellscript; charset=\"us-ascii\"\nMIME-Version: 1.0\n\n#!/bin/sh\ntrue\n";

TEST(NewIdentity, ComesFirstInVendorData) {
    const std::string script(identity_script());
    EXPECT_EQ(parts_of(with_new_identity("")) + "\n", "text/cloud-boothook\n" + script);
    EXPECT_EQ(parts_of(with_new_identity(others)), "text/cloud-boothook\ntext/x-shellscript\n" +
                                                       script.substr(0, script.size() - 1) +
                                                       "\n#!/bin/sh\ntrue\n");
}

TEST(NewIdentity, IsAskedForOnceOnly) {
    const std::string once = with_new_identity(others);
    EXPECT_EQ(with_new_identity(once), once);
}

TEST(NewIdentity, HoldsWhatAnotherVersionWrote) {
    const std::string older = replaced(with_new_identity(others), "set -u", "set -eu");
    const std::string now = parts_of(with_new_identity(older));
    EXPECT_EQ(now.rfind("text/cloud-boothook\ntext/cloud-boothook\ntext/x-shellscript\n", 0), 0U) << now;
}

} // namespace
} // namespace capsul
