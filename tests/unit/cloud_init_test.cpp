#include "daemon/cloud_init.hpp"

#include "golden.hpp"

#include "daemon/guest_identity.hpp"
#include "daemon/process.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "tests/temporary_folder.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace capsul {
namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;

Seed small_seed() {
    Seed seed;
    seed.instance = Uuid::parse("5e5f7a52-0f0a-4f8f-9d2f-3f3b3c3d3e3f");
    seed.hostname = Name::parse("web");
    seed.nics = {SeedNic{Mac::parse("02:00:00:00:00:01"), {}, {}, {}}};
    return seed;
}

Seed full_seed() {
    Seed seed = small_seed();
    seed.ssh_keys = {SshKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtZnN1bXRlc3RrZXk ann@desk"),
                     SshKey::parse("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ \"quoted\": {x: y} # z")};
    seed.user_data = "#cloud-config\npackages: [nginx]\n";
    seed.init_script = "#!/bin/sh\necho hello\n";
    return seed;
}

std::string joined(const Seed& seed) {
    std::string text;
    for (const auto& [name, content] : seed_files(seed)) {
        text += "==> " + name + "\n" + content;
    }
    return text;
}

Error refusal_of(const std::function<void()>& check) {
    try {
        check();
    } catch (const Error& error) {
        return error;
    }
    return {ErrorCode::internal, "not refused"};
}

TEST(CloudInit, WritesWhatAFullSeedHas) {
    expect_golden("cloud_init/full.txt", joined(full_seed()));
}

TEST(CloudInit, WritesValidSeedWithoutKeysAndUserData) {
    expect_golden("cloud_init/small.txt", joined(small_seed()));
}

TEST(CloudInit, GivesACopiedMachineAnIdentity) {
    Seed seed = full_seed();
    seed.new_identity = true;
    expect_golden("cloud_init/new-identity.txt", joined(seed));
}

TEST(CloudInit, TellsAGuestItsAddresses) {
    Seed seed = full_seed();
    seed.nics.push_back({Mac::parse("02:00:00:00:00:02"),
                         {"10.80.0.2/24", "fd80::2/64"},
                         {IpAddress::parse("10.80.0.1"), IpAddress::parse("fd80::1")},
                         {IpAddress::parse("192.0.2.53")}});
    const Json nic = parse_json(seed_files(seed).at("network-config")).at("ethernets").at("nic1");
    EXPECT_EQ(nic.at("match").at("macaddress"), "02:00:00:00:00:02");
    EXPECT_EQ(nic.at("addresses").size(), 2U);
    EXPECT_EQ(nic.at("gateway4"), "10.80.0.1");
    EXPECT_EQ(nic.at("gateway6"), "fd80::1");
    EXPECT_EQ(nic.at("nameservers").at("addresses").at(0), "192.0.2.53");
    EXPECT_FALSE(nic.contains("dhcp4"));
}

TEST(CloudInit, TellsAGuestOfAVpnItsDomainAndMtu) {
    Seed seed = small_seed();
    seed.nics = {{Mac::parse("02:00:00:00:00:02"),
                  {"10.90.0.3/16", "fd90::ff:fe00:2/64"},
                  {},
                  {IpAddress::parse("10.90.0.2"), IpAddress::parse("fd90::a5a:2")},
                  {"lab.capsul"},
                  1400}};
    expect_golden("cloud_init/vpn.txt", seed_files(seed).at("network-config"));
}

TEST(CloudInit, LeavesUserDataUntouched) {
    Seed seed = full_seed();
    seed.user_data = "#!/bin/sh\r\necho \xff\n";
    EXPECT_EQ(seed_files(seed).at("user-data"), *seed.user_data);
}

TEST(CloudInit, SerialisesKeysSoThatTheyStayValues) {
    const Json meta = parse_json(seed_files(full_seed()).at("meta-data"));
    EXPECT_EQ(meta["public-keys"][1], full_seed().ssh_keys[1].to_string());
    EXPECT_EQ(meta.size(), 3U);
}

TEST(CloudInit, DropsAKeysCommentThatYamlMightNotTake) {
    Seed seed = small_seed();
    seed.ssh_keys = {SshKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtZnN1 ann\xc2\x80")};
    EXPECT_EQ(parse_json(seed_files(seed).at("meta-data"))["public-keys"][0],
              "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEtZnN1");
}

/// The shell part of vendor-data with its target moved into `folder`, run.
ProcessResult run_wrapper(const std::string& init_script, const std::filesystem::path& folder) {
    Seed seed = small_seed();
    seed.init_script = init_script;
    std::string text = seed_files(seed).at("vendor-data");
    text = text.substr(text.find("#!/bin/sh"));
    const std::string target = "/var/lib/capsul";
    for (auto at = text.find(target); at != std::string::npos; at = text.find(target, at)) {
        text.replace(at, target.size(), folder.string());
    }
    const std::string journal = "/run/systemd/journal/stdout"; // the output is looked at here instead
    text.replace(text.find(journal), journal.size(), "/nonexistent");
    std::ofstream(folder / "wrapper", std::ios::binary) << text;
    return run_process({"sh", (folder / "wrapper").string()}, 20s);
}

class InitScript : public testing::Test {
  protected:
    test::TemporaryFolder temporary_;
    std::filesystem::path folder_ = temporary_.path();
};

TEST_F(InitScript, RunsUnderItsOwnInterpreterWithItsExitCode) {
    const ProcessResult result =
        run_wrapper("#!/usr/bin/awk -f\nBEGIN { print \"in awk\"; exit 7 }\n", folder_);
    EXPECT_EQ(result.out, "in awk\n") << result.err;
    EXPECT_EQ(result.status, 7);
}

TEST_F(InitScript, ArrivesUnchangedWhateverItsBytes) {
    std::string script = "#!/bin/sh\nexit 0\nEND_OF_SCRIPT\n{} $HOME `id` %s \\n\r\n";
    for (int byte = 1; byte < 256; ++byte) {
        script += static_cast<char>(byte);
    }
    EXPECT_EQ(run_wrapper(script, folder_).status, 0);
    EXPECT_EQ(read_file(folder_ / "init-script"), script);
}

TEST(UserData, AcceptsWhatCloudInitKnows) {
    for (const char* text :
         {"#cloud-config\npackages: [vim]\n", "#cloud-config", "#cloud-config\r\na: 1\r\n",
          "#cloud-config\n---\na: 1\n", "#!/bin/sh\n", "#include\nhttps://example.org/a\n",
          "#cloud-boothook\n", "#part-handler\n", "#upstart-job\n",
          "## template: jinja\n#cloud-config\n{% if a %}\n", "#cloud-config-archive\n- type: text/plain\n",
          "Content-Type: multipart/mixed; boundary=\"=\"\nMIME-Version: 1.0\n\n"}) {
        EXPECT_NO_THROW(check_user_data(text)) << text;
    }
}

TEST(UserData, RefusesWhatCloudInitWouldIgnore) {
    for (const char* text : {"", "packages: [vim]\n", " #cloud-config\n", "# cloud-config\n", "hello",
                             "Content-Type: text/plain\n\nno version\n"}) {
        const Error error = refusal_of([&] { check_user_data(text); });
        EXPECT_EQ(error.code(), ErrorCode::invalid) << text;
        EXPECT_FALSE(error.hint().empty()) << text;
    }
}

TEST(UserData, RefusesBrokenCloudConfigNamingThePlace) {
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\nusers:\n  - name: a\n    keys: [\n"); }).what(),
              "user-data:5:1: did not find expected node content"s);
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\na:\tb\n\tc: d\n"); }).code(),
              ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\na: *nowhere\n"); }).code(), ErrorCode::invalid);
}

TEST(UserData, RefusesCloudConfigThatIsNoMapping) {
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\n- a\n- b\n"); }).what(),
              "user-data:2:1: is not a mapping (lines of the form key: value)"s);
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\njust text\n"); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\na: 1\n---\nb: 2\n"); }).code(),
              ErrorCode::invalid);
}

TEST(UserData, RefusesDeepNestingQuickly) {
    const auto begun = std::chrono::steady_clock::now();
    for (const char* opening : {"[", "{", "- ", "{a: ", "? "}) {
        std::string text = "#cloud-config\n";
        while (text.size() < 65000) {
            text += opening;
        }
        EXPECT_EQ(refusal_of([&] { check_user_data(text); }).code(), ErrorCode::invalid) << opening;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 30s);
}

TEST(UserData, RefusesNulCompressionAndMoreThan64KiB) {
    EXPECT_EQ(refusal_of([] { check_user_data("#cloud-config\na: \0"s); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_user_data("\x1f\x8b\x08 gzip"); }).what(),
              "the user-data is compressed"s);
    EXPECT_EQ(refusal_of([] { check_user_data("#!" + std::string(65535, 'a')); }).code(),
              ErrorCode::too_large);
    EXPECT_NO_THROW(check_user_data("#!" + std::string(65534, 'a')));
}

TEST(InitScriptText, NeedsAnInterpreterLineAndNoNul) {
    EXPECT_NO_THROW(check_init_script("#!/usr/bin/env python3\n"));
    EXPECT_EQ(refusal_of([] { check_init_script("echo hello\n"); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_init_script(""); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_init_script("#!/bin/sh\n\0"s); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal_of([] { check_init_script("#!" + std::string(65536, 'a')); }).code(),
              ErrorCode::too_large);
}

TEST(SeedOfCopy, KeepsWhatTheUserGaveAndNothingElse) {
    const auto original = seed_files(full_seed());
    Seed copy = small_seed();
    copy.instance = Uuid::parse("6e5f7a52-0f0a-4f8f-9d2f-3f3b3c3d3e3f");
    copy.hostname = Name::parse("copy");
    copy.nics = {SeedNic{Mac::parse("02:00:00:00:00:09"), {}, {}, {}}};
    copy.new_identity = true;
    const auto files = seed_files_of_copy(original, copy);
    EXPECT_EQ(files.at("user-data"), original.at("user-data"));
    EXPECT_EQ(files.at("vendor-data"), with_new_identity(original.at("vendor-data")));
    Seed expected = full_seed();
    expected.instance = copy.instance;
    expected.hostname = copy.hostname;
    expected.nics = copy.nics;
    EXPECT_EQ(files.at("meta-data"), seed_files(expected).at("meta-data"));
    EXPECT_EQ(files.at("network-config"), seed_files(copy).at("network-config"));
    EXPECT_EQ(seed_files_of_copy(seed_files(small_seed()), copy).at("vendor-data"), with_new_identity(""));
}

TEST(SeedOfCopy, OfACopyIsAsOfTheFirst) {
    Seed copy = small_seed();
    EXPECT_EQ(seed_files_of_copy(seed_files(small_seed()), copy), seed_files(small_seed()));
    copy.new_identity = true;
    const auto first = seed_files_of_copy(seed_files(full_seed()), copy);
    EXPECT_EQ(seed_files_of_copy(first, copy), first);
    EXPECT_EQ(seed_files_of_copy(first, small_seed()), first) << "its identity stays new";
}

TEST(SeedOfCopy, RefusesWhatCapsulDidNotWrite) {
    EXPECT_THROW(static_cast<void>(seed_files_of_copy({}, small_seed())), Error);
    EXPECT_THROW(
        static_cast<void>(seed_files_of_copy({{"meta-data", "[]"}, {"user-data", ""}}, small_seed())), Error);
    EXPECT_THROW(static_cast<void>(seed_files_of_copy({{"meta-data", "{"}, {"user-data", ""}}, small_seed())),
                 Error);
    EXPECT_THROW(static_cast<void>(seed_files_of_copy(
                     {{"meta-data", R"({"public-keys": ["none"]})"}, {"user-data", ""}}, small_seed())),
                 Error);
}

} // namespace
} // namespace capsul
