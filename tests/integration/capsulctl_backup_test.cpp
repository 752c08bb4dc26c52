// What capsulctl makes of backups on their way to a file and from one.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/backup.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/stat.h>

namespace capsul::test {
namespace {

using testing::HasSubstr;

/// A daemon with one VM, whose backup has the content that the test wants.
class CapsulctlBackup : public testing::Test {
  protected:
    CapsulctlBackup() {
        std::filesystem::create_directories(out());
        daemon.add_work<VmBackup>([this](const VmBackup& call) {
            const std::lock_guard lock(mutex_);
            backed_up_.push_back(call);
            return BackedUp{call.name, Timestamp::parse("2026-11-27T22:00:00Z"), consistency, call.image,
                            Download{Uuid::make(), content.size()}};
        });
        daemon.router.add<DownloadFile>([this](const DownloadFile&) {
            auto at = std::make_shared<std::size_t>(0);
            return DownloadResponse{content.size(), [this, at](std::span<char> piece) {
                                        const std::size_t got = std::min(piece.size(), content.size() - *at);
                                        std::copy_n(content.data() + *at, got, piece.data());
                                        *at += got;
                                        return got;
                                    }};
        });
        daemon.router.add<UploadFile>([this](const UploadFile&) {
            return UploadResponse{.write =
                                      [this](std::string_view piece) {
                                          const std::lock_guard lock(mutex_);
                                          received_.append(piece);
                                      },
                                  .finish =
                                      [this] {
                                          return encode(
                                              Upload{Uuid::make(), received().size(),
                                                     Digest::parse("sha256:" + std::string(64, 'a'))});
                                      }};
        });
        daemon.add_work<BackupRestore>([this](const BackupRestore& call) {
            const std::lock_guard lock(mutex_);
            restored_.push_back(call);
            return FromBackup{made_up_vm("web", VmState::stopped),
                              Timestamp::parse("2026-11-27T22:00:00Z"),
                              consistency,
                              Name::parse("debian-12"),
                              {PublishedPort::parse("8080:80")}};
        });
    }
    ~CapsulctlBackup() override { daemon.stop(); }

    std::filesystem::path out() const { return daemon.folder() / "out"; }
    std::string file(const char* name) const { return (out() / name).string(); }

    std::size_t files() const {
        const std::filesystem::directory_iterator all(out());
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    VmBackup backed_up() {
        const std::lock_guard lock(mutex_);
        return backed_up_.back();
    }
    std::string received() {
        const std::lock_guard lock(mutex_);
        return received_;
    }
    BackupRestore restored() {
        const std::lock_guard lock(mutex_);
        return restored_.back();
    }

    MadeUpDaemon daemon;
    std::string content = "an archive" + std::string(100'000, 'x');
    Consistency consistency = Consistency::frozen;

  private:
    std::mutex mutex_;
    std::string received_;
    std::vector<VmBackup> backed_up_;
    std::vector<BackupRestore> restored_;
};

TEST_F(CapsulctlBackup, IsWrittenForItsOwnerAlone) {
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "backup", "web", file("web.tar.zst")});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr("file systems were at rest"));
    EXPECT_TRUE(backed_up().image);
    EXPECT_TRUE(read_file(file("web.tar.zst")) == content);
    struct stat status {};
    ASSERT_EQ(::stat(file("web.tar.zst").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_EQ(files(), 1U);
}

TEST_F(CapsulctlBackup, TellsAProgramHowConsistentItIs) {
    consistency = Consistency::crash;
    daemon.serve();
    const Outcome outcome =
        run_capsulctl(daemon, {"vm", "backup", "web", file("web.tar.zst"), "--no-image", "--json"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    const Json said = parse_json(outcome.out);
    EXPECT_EQ(said["consistency"], Json("crash"));
    EXPECT_EQ(said["has_image"], Json(false));
    EXPECT_EQ(said["size"], Json(content.size()));
    EXPECT_EQ(said["file"], Json(file("web.tar.zst")));
    EXPECT_THAT(outcome.err, HasSubstr("crash-consistent: the guest's file systems were not put to rest"));
    EXPECT_FALSE(backed_up().image);
}

TEST_F(CapsulctlBackup, GoesToStandardOutputButToNoTerminal) {
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "backup", "web", "-"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(outcome.out == content);
    const int calls = daemon.calls;
    const Outcome terminal = run_capsulctl(daemon, {"vm", "backup", "web", "-"}, Capsulctl::On::terminal);
    EXPECT_EQ(terminal.code, 2);
    EXPECT_EQ(daemon.calls, calls) << "before anything is done";
}

TEST_F(CapsulctlBackup, ReplacesAFileOnlyWhenTold) {
    daemon.serve();
    std::ofstream(file("web.tar.zst")) << "precious";
    const Outcome refused = run_capsulctl(daemon, {"vm", "backup", "web", file("web.tar.zst")});
    EXPECT_EQ(refused.code, 4);
    EXPECT_THAT(refused.err, HasSubstr("--force"));
    EXPECT_EQ(daemon.calls, 0);
    EXPECT_EQ(read_file(file("web.tar.zst")), "precious");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "backup", "web", file("web.tar.zst"), "--force", "-q"}).code, 0);
    EXPECT_TRUE(read_file(file("web.tar.zst")) == content);
}

TEST_F(CapsulctlBackup, IsWrittenWhereItIsRun) {
    daemon.serve();
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(out());
    const Outcome made = run_capsulctl(daemon, {"vm", "backup", "web", "web.tar.zst"});
    const Outcome replaced = run_capsulctl(daemon, {"vm", "backup", "web", "web.tar.zst", "--force"});
    std::filesystem::current_path(before);
    EXPECT_EQ(made.code, 0) << made.err;
    EXPECT_EQ(replaced.code, 0) << replaced.err;
    EXPECT_TRUE(read_file(file("web.tar.zst")) == content);
    EXPECT_EQ(files(), 1U);
}

TEST_F(CapsulctlBackup, IsSentAndRestoredAsAskedFor) {
    consistency = Consistency::crash;
    daemon.serve();
    std::ofstream(file("web.tar.zst")) << content;
    const Outcome outcome =
        run_capsulctl(daemon, {"vm", "restore", file("web.tar.zst"), "--as", "web2", "--network",
                               "lan=office", "--network", "pub=user", "--publish", "8081:80", "--start"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(received() == content);
    const BackupRestore call = restored();
    EXPECT_EQ(call.as, Name::parse("web2"));
    ASSERT_EQ(call.networks.size(), 2U);
    EXPECT_EQ(call.networks[0].from, Name::parse("lan"));
    EXPECT_EQ(call.networks[0].to, Name::parse("office"));
    EXPECT_EQ(call.publish, std::vector<PublishedPort>{PublishedPort::parse("8081:80")});
    EXPECT_TRUE(call.start);
    EXPECT_THAT(outcome.out, HasSubstr("web"));
    EXPECT_THAT(outcome.err, HasSubstr("as after a power cut"));
    EXPECT_THAT(outcome.err, HasSubstr("image debian-12: imported"));
    EXPECT_THAT(outcome.err, HasSubstr("does not publish"));
}

TEST_F(CapsulctlBackup, IsTakenFromStandardInputToo) {
    daemon.serve();
    Capsulctl running(daemon, {"vm", "restore", "-", "--json"});
    ASSERT_TRUE(running.type(content));
    running.end_of_input();
    EXPECT_EQ(running.wait(), 0) << running.err;
    EXPECT_TRUE(received() == content);
    const Json said = parse_json(running.out);
    EXPECT_EQ(said["vm"]["name"], Json("web"));
    EXPECT_EQ(said["image"], Json("debian-12"));
    EXPECT_FALSE(restored().as);
}

TEST_F(CapsulctlBackup, MistakesAreFoundBeforeAnythingIsSent) {
    daemon.serve();
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"vm", "restore", file("none")},
                                               {"vm", "restore", out().string()},
                                               {"vm", "restore", file("none"), "--as", "Web"},
                                               {"vm", "restore", file("none"), "--network", "lan"},
                                               {"vm", "restore", file("none"), "--network", "=lan"},
                                               {"vm", "restore", file("none"), "--publish", "80"},
                                               {"vm", "backup", "web", "-", "--force"},
                                               {"vm", "backup", "web", out().string()},
                                               {"vm", "backup", "Web", file("a")}}) {
        EXPECT_EQ(run_capsulctl(daemon, words).code, 2) << words[1] << " " << words.back();
    }
    EXPECT_EQ(daemon.calls, 0);
    EXPECT_EQ(received(), "");
    EXPECT_EQ(files(), 0U);
}

} // namespace
} // namespace capsul::test
