// What capsulctl makes of an image on its way to a file.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/fd.hpp"
#include "lib/image.hpp"
#include "lib/image_publish.hpp"
#include "lib/image_pull.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/stat.h>

namespace capsul::test {
namespace {

using testing::HasSubstr;

Image image_of(const ImageShow& call) {
    Image image;
    image.name = call.name;
    return image;
}

/// A daemon with one image, whose content is what the test wants.
class CapsulctlImage : public testing::Test {
  protected:
    CapsulctlImage() {
        std::filesystem::create_directories(out());
        daemon.add_work<ImageExport>([this](const ImageExport& call) {
            const std::lock_guard lock(mutex_);
            asked_.push_back(call);
            return Download{Uuid::make(), promised.empty() ? content.size() : std::stoull(promised)};
        });
        daemon.router.add<DownloadFile>([this](const DownloadFile&) {
            auto at = std::make_shared<std::size_t>(0);
            return DownloadResponse{promised.empty() ? content.size() : std::stoull(promised),
                                    [this, at](std::span<char> piece) {
                                        const std::size_t got = std::min(piece.size(), content.size() - *at);
                                        std::copy_n(content.data() + *at, got, piece.data());
                                        *at += got;
                                        return got;
                                    }};
        });
        daemon.router.add<ImageShow>(&image_of);
    }
    ~CapsulctlImage() override { daemon.stop(); }

    std::filesystem::path out() const { return daemon.folder() / "out"; }
    std::string file(const char* name) const { return (out() / name).string(); }

    std::size_t files() const {
        const std::filesystem::directory_iterator all(out());
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    ImageExport asked() {
        const std::lock_guard lock(mutex_);
        return asked_.back();
    }

    MadeUpDaemon daemon;
    std::string content = std::string(300'000, 'x') + std::string(2'000'000, '\0') + "end" + '\0';
    std::string promised; ///< a length that is not that of the content

  private:
    std::mutex mutex_;
    std::vector<ImageExport> asked_;
};

TEST_F(CapsulctlImage, WritesAFileWithHolesAndSaysSo) {
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"image", "export", "lab", file("lab.qcow2")});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr("written to"));
    EXPECT_TRUE(read_file(file("lab.qcow2"), 1U << 30U) == content);
    struct stat status {};
    ASSERT_EQ(::stat(file("lab.qcow2").c_str(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 1'000'000);
    EXPECT_EQ(files(), 1U);
}

TEST_F(CapsulctlImage, TellsTheFormatByTheFilesName) {
    daemon.serve();
    for (const auto& [name, format] : std::map<std::string, ExportFormat>{{"a.ova", ExportFormat::ova},
                                                                          {"a.vmdk", ExportFormat::vmdk},
                                                                          {"a.img", ExportFormat::raw},
                                                                          {"a.raw", ExportFormat::raw},
                                                                          {"a.qcow2", ExportFormat::qcow2},
                                                                          {"a", ExportFormat::qcow2}}) {
        EXPECT_EQ(run_capsulctl(daemon, {"image", "export", "lab", file(name.c_str())}).code, 0);
        EXPECT_EQ(asked().format, format) << name;
    }
    run_capsulctl(daemon, {"image", "export", "lab", file("b.ova"), "--format", "vmdk", "--compress"});
    EXPECT_EQ(asked().format, ExportFormat::vmdk);
    EXPECT_TRUE(asked().compress);
}

TEST_F(CapsulctlImage, WritesToStandardOutputButToNoTerminal) {
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"image", "export", "lab", "-"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(outcome.out == content);
    const int calls = daemon.calls;
    const Outcome terminal = run_capsulctl(daemon, {"image", "export", "lab", "-"}, Capsulctl::On::terminal);
    EXPECT_EQ(terminal.code, 2);
    EXPECT_THAT(terminal.out, HasSubstr("terminal"));
    EXPECT_EQ(daemon.calls, calls) << "before anything is done";
}

TEST_F(CapsulctlImage, ReplacesAFileOnlyWhenTold) {
    daemon.serve();
    std::ofstream(file("lab.qcow2")) << "precious";
    const Outcome refused = run_capsulctl(daemon, {"image", "export", "lab", file("lab.qcow2")});
    EXPECT_EQ(refused.code, 4);
    EXPECT_THAT(refused.err, HasSubstr("--force"));
    EXPECT_EQ(read_file(file("lab.qcow2")), "precious");
    EXPECT_EQ(daemon.calls, 0);
    EXPECT_EQ(run_capsulctl(daemon, {"image", "export", "lab", file("lab.qcow2"), "--force"}).code, 0);
    EXPECT_EQ(read_file(file("lab.qcow2"), 1U << 30U).size(), content.size());
    EXPECT_EQ(files(), 1U);
}

TEST_F(CapsulctlImage, RefusesWhatMakesNoSense) {
    daemon.serve();
    for (const auto& words :
         std::vector<std::vector<std::string>>{{"image", "export", "lab", file("a.raw"), "--compress"},
                                               {"image", "export", "lab", file("a"), "--format", "vdi"},
                                               {"image", "export", "lab", "-", "--force"},
                                               {"image", "export", "Lab", file("a")},
                                               {"image", "export", "lab", "/dev/null", "--force"},
                                               {"image", "export", "lab", out().string()},
                                               {"image", "export", "lab"}}) {
        EXPECT_EQ(run_capsulctl(daemon, words).code, 2) << words.back();
    }
    EXPECT_NE(run_capsulctl(daemon, {"image", "export", "lab", file("nowhere/a")}).code, 0);
    EXPECT_EQ(daemon.calls, 0);
    EXPECT_EQ(files(), 0U);
}

TEST_F(CapsulctlImage, SaysWhatIsInAPublishedOneAndWhatIsNot) {
    daemon.add_work<ImagePublish>([](const ImagePublish& call) {
        ImagePublished result;
        result.image.name = call.image;
        result.image.published = PublishedFrom{call.name, Name::parse("debian-12"), true};
        result.left_out = {DiskName::parse("data"), DiskName::parse("logs")};
        return result;
    });
    daemon.serve();
    const Outcome told = run_capsulctl(daemon, {"image", "publish", "golden", "base", "-o", "name"});
    EXPECT_EQ(told.code, 0) << told.err;
    EXPECT_EQ(told.out, "base\n");
    EXPECT_THAT(told.err, HasSubstr("image base: made of the disk of golden\n"));
    EXPECT_THAT(told.err, HasSubstr("cleaned at the first boot of each VM made from it"));
    EXPECT_THAT(told.err, HasSubstr("a guest without cloud-init would keep the identity of golden\n"));
    EXPECT_THAT(told.err, HasSubstr("package guestfs-tools"));
    EXPECT_THAT(told.err, HasSubstr("only the first disk is in it, not data,logs\n"));
    const Outcome data = run_capsulctl(daemon, {"image", "publish", "golden", "base", "--json", "-q"});
    EXPECT_EQ(data.err, "");
    EXPECT_EQ(Json::parse(data.out).at("published").at("vm"), Json("golden"));
    EXPECT_EQ(run_capsulctl(daemon, {"image", "publish", "golden"}).code, 2);
    EXPECT_EQ(run_capsulctl(daemon, {"image", "publish", "golden", "Base"}).code, 2);
}

TEST_F(CapsulctlImage, SaysWhoHasCleanedAPublishedOneAndWhyNot) {
    const Name clean = Name::parse("clean");
    daemon.add_work<ImagePublish>([&](const ImagePublish& call) {
        ImagePublished result;
        result.image.name = call.image;
        result.image.published =
            PublishedFrom{call.name, Name::parse("debian-12"), true, call.image == clean};
        if (call.image != clean) {
            result.not_cleaned = "no operating systems were found";
        }
        return result;
    });
    daemon.serve();
    const Outcome cleaned = run_capsulctl(daemon, {"image", "publish", "golden", "clean"});
    EXPECT_THAT(cleaned.err, HasSubstr("image clean: cleaned by virt-sysprep"));
    EXPECT_THAT(cleaned.err, Not(HasSubstr("by the guest's cloud-init")));
    EXPECT_THAT(cleaned.err, HasSubstr("a guest without cloud-init has to make its ssh host keys itself\n"));
    const Outcome failed = run_capsulctl(daemon, {"image", "publish", "golden", "base"});
    EXPECT_EQ(failed.code, 0);
    EXPECT_THAT(failed.err, HasSubstr("virt-sysprep could not clean it: no operating systems were found\n"));
    EXPECT_THAT(failed.err, HasSubstr("cleaned at the first boot of each VM made from it"));
    EXPECT_THAT(failed.err, Not(HasSubstr("package guestfs-tools")));
}

TEST_F(CapsulctlImage, LeavesNothingOfAFileThatIsCutOff) {
    promised = "5000000";
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"image", "export", "lab", file("lab.qcow2")});
    EXPECT_EQ(outcome.code, 6) << outcome.err;
    EXPECT_EQ(files(), 0U);
}

TEST_F(CapsulctlImage, LeavesNothingWhenItIsInterrupted) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        MadeUpDaemon silent;
        std::filesystem::create_directories(silent.folder() / "out");
        silent.router.add<ImageShow>(&image_of);
        silent.add_work<ImageExport>([](const ImageExport&) { return Download{Uuid::make(), 1000}; });
        std::atomic<bool> begun = false;
        std::atomic<bool> go_on = false;
        silent.router.add<DownloadFile>([&](const DownloadFile&) {
            return DownloadResponse{1000, [&](std::span<char>) -> std::size_t {
                                        begun = true;
                                        go_on.wait(false);
                                        return 0;
                                    }};
        });
        silent.serve();
        Capsulctl running(silent, {"image", "export", "lab", (silent.folder() / "out/lab").string()});
        for (int i = 0; i < 2000 && !begun; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        EXPECT_FALSE(std::filesystem::is_empty(silent.folder() / "out")) << "it is being written";
        running.send_signal(signal);
        EXPECT_EQ(running.wait(), 128 + signal);
        EXPECT_TRUE(std::filesystem::is_empty(silent.folder() / "out"));
        go_on = true;
        go_on.notify_all();
        silent.stop();
    }
}

TEST(CapsulctlImageUpdate, OneSilentSourceKeepsNoOtherAliasBack) {
    MadeUpDaemon daemon;
    daemon.add_work<ImageUpdate>([](const ImageUpdate& call) {
        if (call.name == Name::parse("silent")) {
            throw Error(ErrorCode::unreachable, "source lab: does not answer");
        }
        return ImageUpdated{call.name, Name::parse("old"), image_of({Name::parse("new")})};
    });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"image", "update", "silent", "other", "-o", "name"});
    EXPECT_EQ(outcome.code, 9) << outcome.err;
    EXPECT_EQ(outcome.out, "new\n");
    EXPECT_THAT(outcome.err, HasSubstr("silent: source lab: does not answer"));
    EXPECT_EQ(run_capsulctl(daemon, {"image", "update", "silent"}).code, 6);
    daemon.stop();
}

TEST(CapsulctlImageSearch, HasColumnsAsAnyTable) {
    MadeUpDaemon daemon;
    daemon.add_done<ImageSearch>({});
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"image", "search", "-o", "csv"});
    EXPECT_EQ(outcome.out, "name,version,verified,size,source,title,aliases,url\n");
    EXPECT_EQ(outcome.code, 3) << "nothing was found";
    daemon.stop();
}

} // namespace
} // namespace capsul::test
